"""`ansible-test sanity` is slow; what it would say of each new module is known without it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IGNORES = ROOT / "tests/sanity/ignore-2.19.txt"


def test_each_module_is_excused_from_the_licence_that_it_is_not_under() -> None:
    excused = {
        line.split()[0]
        for line in IGNORES.read_text().splitlines()
        if "validate-modules:missing-gplv3-license" in line
    }
    modules = (ROOT / "plugins/modules").glob("*.py")
    assert excused == {str(path.relative_to(ROOT)) for path in modules}
