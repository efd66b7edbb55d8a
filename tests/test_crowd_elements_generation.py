"""Ranking texts, and questions and answers about a text, in a real browser; then AWS's own readers of the answers."""

import json

RANKING = """<crowd-form id=form><crowd-text-ranking name=textRanking text="Explain a mirror's <b>light</b>."
  ordinal-ranking-dimensions='[{"name":"Clarity","allowTie":true},{"name":"Inclusivity","allowTie":false}]'
  responses='["first", "second", "third"]'><short-instructions>Rank them.</short-instructions>
  </crowd-text-ranking></crowd-form>"""


def rank(page, dimension: str, response: int, rank: int) -> None:
    group = page.get_by_role("radiogroup", name=f"{dimension}, Response {response}")
    group.get_by_text(str(rank), exact=True).click()


def test_texts_are_ranked_by_mouse(crowd_pages):
    page = crowd_pages.open(RANKING)
    assert page.get_by_text("Explain a mirror's <b>light</b>.").is_visible()  # text, not markup
    for response, given in enumerate((2, 1, 1), 1):
        rank(page, "Clarity", response, given)
    for response, given in enumerate((1, 2, 1), 1):
        rank(page, "Inclusivity", response, given)
    assert crowd_pages.submit(page) is None
    assert "Two responses have rank 1 for “Inclusivity”" in page.get_by_role("alert").inner_text()
    rank(page, "Inclusivity", 1, 3)
    answer = crowd_pages.submit(page)
    dimensions = [
        {"name": "Clarity", "allowTie": True, "responseRankings": [2, 1, 1]},
        {"name": "Inclusivity", "allowTie": False, "responseRankings": [3, 2, 1]},
    ]
    assert answer == {
        "ordinalRankingDimensions": dimensions,
        "textRanking": {"ordinalRankingDimensions": dimensions},
    }
    assert json.loads(page.evaluate("form._serializeForm().taskAnswers")) == [answer]


def test_texts_are_ranked_by_keyboard_and_come_back(crowd_pages):
    page = crowd_pages.open(RANKING)
    assert crowd_pages.submit(page) is None
    assert "Give every response a rank for “Clarity”." in page.get_by_role("alert").inner_text()
    page.keyboard.press("Space")  # the first missing one has the focus
    for presses in (1, 2, 0, 1, 2):
        page.keyboard.press("Tab")
        for _ in range(presses):
            page.keyboard.press("ArrowRight")
        if not presses:
            page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    answer = page.evaluate("window.answer")
    assert [each["responseRankings"] for each in answer["ordinalRankingDimensions"]] == [[1, 2, 3], [1, 2, 3]]
    page = crowd_pages.open(RANKING)
    page.evaluate("(answer) => form.restore(answer)", answer)
    assert crowd_pages.submit(page) == answer


def test_the_older_way_outside_of_its_form(crowd_pages):
    page = crowd_pages.open("""<div><crowd-text-ranking crowd-form-element-id=hidden-form instructions='Rank the two.'
      ordinal-ranking-dimensions='[{"name":"Brand","allowTie":true}]' text=Why? responses='["It\\u0027s so", "no"]' />
      </div><crowd-form id=hidden-form style="display: none"></crowd-form>""")
    assert page.get_by_text("Rank the two.").is_visible()
    rank(page, "Brand", 1, 2)
    rank(page, "Brand", 2, 1)
    answer = crowd_pages.submit(page)
    assert answer == {"ordinalRankingDimensions": [{"name": "Brand", "allowTie": True, "responseRankings": [2, 1]}]}


QUESTIONS = """<crowd-form id=form><crowd-question-answer-generation name=qa text='The 🦊 fox jumps over the dog.'
  min-questions=1 max-questions=2 question-min-words=2 question-max-words=5 answer-max-words=3
  question-tags='["What", "Who"]' allow-custom-question-tags=true></crowd-question-answer-generation></crowd-form>"""


def test_questions_and_answers_about_a_text(crowd_pages):
    page = crowd_pages.open(QUESTIONS)
    assert crowd_pages.submit(page) is None
    assert "Question 1: its question needs at least 2 words." in page.get_by_role("alert").inner_text()
    page.keyboard.type("Who jumps?")
    page.keyboard.press("Tab")
    page.keyboard.type("the quick brown fox")
    assert crowd_pages.submit(page) is None
    assert "its answer may have 3 words at most" in page.get_by_role("alert").inner_text()
    page.get_by_role("textbox", name="Answer").fill("the fox")
    page.get_by_role("checkbox", name="Who").check()
    page.get_by_role("textbox", name="A tag of your own").fill("animals")
    page.keyboard.press("Enter")
    passage = page.get_by_role("textbox", name="Text")
    passage.focus()
    page.keyboard.press("Control+Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.type("no change")  # nothing gets into the text
    assert passage.input_value() == "The 🦊 fox jumps over the dog."
    page.get_by_role("button", name="Add the selected text").click()
    page.get_by_role("button", name="Add a question").click()
    assert page.get_by_role("button", name="Add a question").is_disabled()  # two at most
    answer = crowd_pages.submit(page)
    (pair,) = answer["qa"]["questionsAndAnswers"]  # what was left empty isn't one
    assert (pair["question"], pair["answer"], pair["tags"]) == ("Who jumps?", "the fox", ["Who", "animals"])
    (reference,) = pair["references"]
    assert (
        "The 🦊 fox jumps over the dog."[reference["startOffset"] : reference["endOffset"]]
        == reference["text"]
        == " fox"
    )
    page = crowd_pages.open(QUESTIONS)
    page.evaluate("(answer) => form.restore(answer)", answer)
    assert page.get_by_role("checkbox", name="animals").is_checked()
    assert crowd_pages.submit(page) == answer
