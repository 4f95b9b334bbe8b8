"""Image v2 in one table."""

from flask import Blueprint

from controller.api.common.calls import Route, Services, build_blueprint
from controller.api.image import documents, files, images, schemas, tags
from controller.api.image.dialect import ImageDialect, choose_version, list_versions

ROUTES = [
    Route("GET", "/", choose_version, None),
    Route("GET", "/versions", list_versions, None),
    Route("GET", "/v2", list_versions, None),
    Route("GET", "/v2/images", images.list_images, "get_images"),
    Route("POST", "/v2/images", images.create_image, "add_image", schemas.CREATE),
    Route("GET", "/v2/images/<image_id>", images.show_image, "get_image"),
    Route("PATCH", "/v2/images/<image_id>", images.update_image, "modify_image", schemas.PATCH),
    Route("DELETE", "/v2/images/<image_id>", images.delete_image, "delete_image", None, "own"),
    Route("PUT", "/v2/images/<image_id>/file", files.upload_file, "upload_image", None, "own",
          raw_body=True),
    Route("GET", "/v2/images/<image_id>/file", files.download_file, "download_image", None, "own"),
    Route("PUT", "/v2/images/<image_id>/tags/<tag>", tags.add_tag, "modify_image"),
    Route("DELETE", "/v2/images/<image_id>/tags/<tag>", tags.remove_tag, "modify_image"),
    Route("GET", "/v2/schemas/image", documents.show_image_schema, "image_schemas"),
    Route("GET", "/v2/schemas/images", documents.show_images_schema, "image_schemas"),
    Route("GET", "/v2/info/import", documents.show_import, "image_schemas"),
    Route("GET", "/v2/info/usage", documents.show_usage, "get_images"),
]  # fmt: skip

_METADEFS = "/v2/metadefs/namespaces"
NOT_BUILT = [
    ("PUT", "/v2/images/<image_id>/stage"),
    ("POST", "/v2/images/<image_id>/import"),
    ("POST", "/v2/images/<image_id>/actions/<any(deactivate, reactivate):action>"),
    ("GET,POST", "/v2/images/<image_id>/members"),
    ("GET,PUT,DELETE", "/v2/images/<image_id>/members/<member_id>"),
    ("GET", "/v2/images/<image_id>/tasks"),
    ("GET", "/v2/schemas/<any(member, members):noun>"),
    ("GET", "/v2/info/stores"),
    ("GET", "/v2/metadefs/resource_types"),
    ("GET,POST", _METADEFS),
    ("GET,PUT,DELETE", f"{_METADEFS}/<namespace>"),
    ("GET,POST,PUT,DELETE", f"{_METADEFS}/<namespace>/<path:rest>"),
    ("GET", "/v2/schemas/metadefs/<noun>"),
]


def blueprint(services: Services, prefix: str) -> Blueprint:
    """Return Image v2 below `prefix`."""
    return build_blueprint(ImageDialect(), ROUTES, services, prefix, NOT_BUILT)
