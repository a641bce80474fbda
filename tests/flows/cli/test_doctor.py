"""The doctor finds what is wrong, and says what to do."""

import pytest

from atelier.flows.cli import doctor

pytestmark = pytest.mark.long


def test_this_machine_can_run_the_tests() -> None:
    found = {check.name: check for check in doctor.examine()}
    assert {
        "python",
        "packages",
        "versions",
        "git",
        "dvc",
        "prefect",
        "ray",
        "gpu",
        "disk",
        "memory",
        "encoders",
    } == set(found)
    for name in ("python", "packages", "versions", "git", "dvc"):
        assert found[name].status == "ok", found[name]
    assert all(check.remedy for check in found.values() if check.status != "ok")


def test_what_does_not_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert (doctor._ray().status, doctor._prefect().status) == ("fail", "fail")


def test_versions_that_break_others_silently_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", {"fastapi": "0.151.0", "sqlalchemy": "2.0.57"}.__getitem__)
    check = doctor._versions()
    assert check.status == "fail"
    assert "fastapi 0.151.0" in check.what
    assert "constraints.txt" in check.remedy


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> doctor.Check:
        raise OSError("the disk is gone")

    monkeypatch.setattr(doctor, "_packages", broken)
    monkeypatch.setenv("PATH", "/nowhere")
    found = {check.name: check for check in doctor.examine()}
    assert (found["packages"].status, found["packages"].what) == ("fail", "the disk is gone")
    assert found["git"].status == "fail"
