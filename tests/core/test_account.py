from gtseg.core.account import Account, Flow, Loss, merge_losses


def test_losses_with_one_reason_are_grouped_with_the_first_as_example() -> None:
    first, second = Loss("image", "has no mask", "a.jpg"), Loss("image", "has no mask", "b.jpg", 2)
    merged = merge_losses([first, Loss("mask", "has no image", "c.png"), second])
    assert merged == (Loss("image", "has no mask", "a.jpg", 3), Loss("mask", "has no image", "c.png"))
    assert merged[0].text == "3 images: has no mask; for example a.jpg"


def test_a_reason_repeated_in_the_example_is_printed_once() -> None:
    assert Loss("image", "torn", "a.jpg: torn").text == "1 image: torn; a.jpg"


def test_an_unexpected_loss_is_exit_code_5_and_a_note_is_not() -> None:
    flow = Flow("image", 10, 9)
    assert Account((flow,), losses=(Loss("image", "broken", "a.jpg"),)).exit_code == 5
    assert Account((flow,), losses=(Loss("image", "--limit", "a.jpg", kind="note"),)).exit_code == 0
    assert Account((flow,), losses=(Loss("feature", "beside", "1", kind="outside"),)).exit_code == 5


def test_less_than_half_is_a_shortfall_unless_requested() -> None:
    assert Account((Flow("image", 10, 4),)).shortfall == "4 of 10 images arrived"
    assert Account((Flow("image", 10, 5),)).shortfall == ""
    assert Account((Flow("image", 10, 4),), losses=(Loss("image", "limit", "a", 6, "note"),)).shortfall == ""
    assert Account((Flow("class", 3, 0),), losses=(Loss("class", "limit", "a", 3, "note"),)).shortfall
    assert Account((Flow("image", 0, 0),)).shortfall == ""


def test_an_account_is_printed_as_lines_and_as_json() -> None:
    account = Account((Flow("image", 2, 1),), {"cat": 1, "BACKGROUND": 3}, (Loss("image", "torn", "a.jpg"),))
    assert account.lines() == [
        "1 of 2 images",
        f"{'cat':<16}  25.00% of the pixels",
        f"{'BACKGROUND':<16}  75.00% of the pixels",
        "1 image: torn; a.jpg",
    ]
    assert account.as_json()["flows"] == {"image": {"in": 2, "out": 1}}
    assert account.as_json()["losses"][0]["example"] == "a.jpg"
