"""`compute_host_info.py`: a host's boot is told from the one before."""

from pathlib import Path

from ansible_collections.novella.cloud.plugins.module_utils import compute_host_info


def boot(proc: Path, kernel: str, began: int) -> str:
    (proc / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
    (proc / "1").mkdir(exist_ok=True)
    (proc / "sys/kernel/random/boot_id").write_text(f"{kernel}\n")
    # A name may hold blanks and brackets.
    fields = ["S", *["0"] * 18, str(began), "0"]
    (proc / "1" / "stat").write_text(f"1 (s6-svscan) x) {' '.join(fields)}\n")
    return compute_host_info.boot_id(str(proc))


def test_a_boot_of_the_machine_or_of_a_container_is_another(tmp_path: Path) -> None:
    first = boot(tmp_path, "aaaa", 31)
    assert first == "aaaa/31"
    assert boot(tmp_path, "aaaa", 31) == first
    assert boot(tmp_path, "bbbb", 31) != first
    assert boot(tmp_path, "aaaa", 977) != first


def test_it_is_said_on_a_real_machine() -> None:
    assert compute_host_info.boot_id() == compute_host_info.boot_id()
    assert len(compute_host_info.boot_id()) > 36


def test_what_guests_posted_is_said_and_nothing_that_is_led_to(tmp_path: Path) -> None:
    folder = tmp_path / "networks" / "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11" / "passwords"
    folder.mkdir(parents=True)
    server_id = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
    (folder / f"{server_id}.0").write_text("ciphertext")
    (folder / f"{server_id}.2").symlink_to("/etc/shadow")
    (folder / f"{server_id}.0.4711").write_text("half of one")
    assert compute_host_info.posted_passwords(str(tmp_path)) == {f"{server_id}.0": "ciphertext"}
