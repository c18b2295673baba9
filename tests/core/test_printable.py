from gtseg.core.printable import printable


def test_a_terminal_is_told_nothing_but_text() -> None:
    assert printable("a\x1b[31mred\x07\n\tb é 猫") == "a\\x1b[31mred\\x07\n\tb é 猫"
    assert printable("\u202egpj.exe") == "\\u202egpj.exe"
    assert printable("bad\udcffname") == "bad\\udcffname"
