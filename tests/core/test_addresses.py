import pytest

from gtseg.core.addresses import public_address


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("s3://bucket/key?x", "s3://bucket/key?x"),
        (
            "https://t.example/{z}/{x}/{y}.jpg?access_token=pk.eyJ1Ijoi",
            "https://t.example/{z}/{x}/{y}.jpg?access_token=...",
        ),
        ("https://t.example/{z}/{x}/{y}.jpg?t={token}", "https://t.example/{z}/{x}/{y}.jpg?t={token}"),
        ("https://user:secret@t.example/{z}/{x}/{y}", "https://t.example/{z}/{x}/{y}"),
        ("https://t.example/d0c1f7a2b3e4d5c6f7a8/{z}/{x}/{y}", "https://t.example/.../{z}/{x}/{y}"),
        ("https://t.example/wms?layers=sat&api_key=abc", "https://t.example/wms?layers=sat&api_key=..."),
        ("https://t.example/a#token=abc", "https://t.example/a"),
        ("https://[broken", "..."),
    ],
)
def test_an_address_is_printed_without_its_secrets(address: str, public: str) -> None:
    assert public_address(address) == public
