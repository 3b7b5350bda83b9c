"""How long a silent connection may stay depends on how many others there are."""

from lostid.api.deadlines import BODY_S, HEAD_S, IDLE_S, Stage, deadlines


def test_crowded() -> None:
    """Where places become few, silence costs its place sooner; a body that is under way keeps its time."""
    roomy, crowded = deadlines(80, 100), deadlines(81, 100)
    assert (roomy[Stage.HEAD], roomy[Stage.BODY], roomy[Stage.BETWEEN]) == (HEAD_S, BODY_S, IDLE_S)
    assert crowded[Stage.HEAD] < roomy[Stage.HEAD]
    assert crowded[Stage.BETWEEN] < roomy[Stage.BETWEEN]
    assert crowded[Stage.BODY] == roomy[Stage.BODY]
    assert set(roomy) == set(crowded) == set(Stage)
