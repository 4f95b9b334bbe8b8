"""Who may do what with images: Glance's rule names."""

from controller.api.common.policy import ADMIN, ANYONE, MEMBER, READER, Rule

RULES: list[Rule] = [
    Rule("get_images", READER),
    Rule("get_image", READER),
    Rule("download_image", READER),
    Rule("add_image", MEMBER),
    Rule("upload_image", MEMBER),
    Rule("modify_image", MEMBER),
    Rule("delete_image", MEMBER),
    Rule("publicize_image", ADMIN),
    Rule("communitize_image", MEMBER),
    Rule("image_schemas", ANYONE),
]
