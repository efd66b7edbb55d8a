// <crowd-question-answer-generation>: questions and answers about a text, with tags and the passages that they are about.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  const PARTS = ["question", "answer"];
  const words = (text) => text.split(/\s+/).filter(Boolean).length;

  class CrowdQuestionAnswerGeneration extends crowd.GenerationWidget {
    static attributes = {
      ...crowd.GenerationWidget.attributes,
      "allow-custom-question-tags": "string",
      "answer-max-words": "number",
      "answer-min-words": "number",
      "max-questions": "number",
      "min-questions": "number",
      "question-max-words": "number",
      "question-min-words": "number",
      "question-tags": "json",
    };
    static styles = `${crowd.GenerationWidget.styles}
      textarea { width: 100%; border: 1px solid var(--crowd-line); border-radius: 0.375rem; padding: 0.5rem 0.625rem;
        background: var(--crowd-surface); }
      textarea.passage { font: inherit; line-height: 1.6; min-height: 60vh; resize: vertical; }
      textarea.passage::selection { background: var(--crowd-accent); color: var(--crowd-on-accent); }
      .pair { border: 1px solid var(--crowd-faint); border-radius: 0.5rem; margin: 0 0 0.75rem; padding: 0.5rem 0.875rem 0.75rem; }
      .pair header { display: flex; align-items: center; justify-content: space-between; }
      .pair h3 { margin: 0; font-size: 1rem; }
      .pair label.above { display: flex; justify-content: space-between; font-weight: 600; margin: 0.375rem 0 0.25rem; }
      .pair label.above span { font-weight: 400; color: var(--crowd-quiet); font-size: 0.875rem; }
      fieldset { border: 0; padding: 0; margin: 0.5rem 0 0; min-width: 0; }
      legend { font-weight: 600; padding: 0; }
      .chips { display: flex; flex-wrap: wrap; gap: 0.375rem; margin: 0.25rem 0; padding: 0; list-style: none; }
      .chips label { display: inline-flex; align-items: center; gap: 0.375rem; min-height: 2.25rem; padding: 0 0.625rem;
        border: 1px solid var(--crowd-line); border-radius: 1.125rem; cursor: pointer; }
      .chips label:has(:checked) { background: var(--crowd-chosen); border-color: var(--crowd-accent); }
      .chips input { accent-color: var(--crowd-accent); margin: 0; }
      .plain { border: 1px solid var(--crowd-accent); border-radius: 0.375rem; background: var(--crowd-surface);
        color: var(--crowd-accent); min-height: 2.5rem; padding: 0 0.875rem; font-weight: 600; }
      .plain:disabled { color: var(--crowd-quiet); border-color: var(--crowd-faint); }
      .close, .quote { border: 0; background: none; border-radius: 0.25rem; min-height: 2.5rem; }
      .close { min-width: 2.5rem; font-size: 1.25rem; line-height: 1; }
      .quote { text-align: left; text-decoration: underline; color: var(--crowd-accent); overflow-wrap: anywhere; padding: 0; }
      .references li { display: flex; align-items: center; gap: 0.25rem; }
      .own { display: flex; gap: 0.375rem; margin-top: 0.25rem; }
      .own input { flex: 1; min-width: 0; border: 1px solid var(--crowd-line); border-radius: 0.375rem; padding: 0 0.625rem;
        min-height: 2.5rem; background: var(--crowd-surface); }
    `;

    furnish() {
      super.furnish();
      // A text field that takes nothing: its text can be selected by mouse, finger and keyboard, in any browser.
      this.passage.remove();
      this.passage = h("textarea", {
        class: "passage",
        "aria-label": "Text",
        "aria-readonly": "true",
        inputmode: "none",
        spellcheck: "false",
        onbeforeinput: (event) => event.preventDefault(),
      });
      this.hint = h("p", { class: "hint" }, "Select a part of the text to add it to a question.");
      this.target.append(this.passage, this.hint);
      this.cards = h("div");
      this.plus = h("button", { type: "button", class: "plain", onclick: () => this.add().fields.question.focus() });
      this.plus.textContent = "Add a question";
      this.live = h("div", { class: "unseen", "aria-live": "polite" });
      this.picker.append(this.cards, this.plus, this.live);
      this.pairs = [];
      this.add();
    }

    changed(name) {
      super.changed(name);
      if (name === "text") this.passage.value = this.text;
      if (name === "question-tags" || name === "allow-custom-question-tags")
        for (const pair of this.pairs) this.tag(pair);
      this.count();
    }

    get least() {
      return this.minQuestions ?? 1;
    }

    limits(part) {
      const [least, most] = PARTS.map((_, at) => this[`${part}${at ? "Max" : "Min"}Words`]);
      return [least ?? 1, most ?? Infinity];
    }

    add() {
      const pair = { fields: {}, counts: {}, tags: [], chosen: new Set(), references: [] };
      const title = h("h3");
      const remove = h("button", { type: "button", class: "close", onclick: () => this.remove(pair) }, "×");
      pair.card = h("section", { class: "pair" }, h("header", {}, title, remove));
      Object.assign(pair, { title, closer: remove });
      for (const part of PARTS) {
        const id = crowd.uid(part);
        pair.fields[part] = h("textarea", { id, rows: 2, oninput: () => this.typed() });
        pair.counts[part] = h("span");
        const called = part === "question" ? "Question" : "Answer";
        pair.card.append(h("label", { for: id, class: "above" }, called, pair.counts[part]), pair.fields[part]);
      }
      pair.tagBox = h("fieldset");
      pair.quotes = h("ul", { class: "chips references" });
      const cite = h(
        "button",
        { type: "button", class: "plain", onclick: () => this.cite(pair) },
        "Add the selected text",
      );
      cite.addEventListener("pointerdown", (event) => event.preventDefault()); // the selection stays
      pair.card.append(pair.tagBox, pair.quotes, cite);
      this.pairs.push(pair);
      this.cards.append(pair.card);
      this.tag(pair);
      this.count();
      return pair;
    }

    remove(pair) {
      this.pairs = this.pairs.filter((other) => other !== pair);
      pair.card.remove();
      this.count();
      this.plus.focus();
      this.tell();
    }

    // What a card says about itself: its number, how many words.
    count() {
      this.pairs.forEach((pair, index) => {
        pair.title.textContent = `Question ${index + 1}`;
        pair.card.setAttribute("aria-label", pair.title.textContent);
        pair.closer.setAttribute("aria-label", `Remove question ${index + 1}`);
        pair.closer.hidden = this.pairs.length === 1;
        for (const part of PARTS) {
          const most = this.limits(part)[1];
          const now = words(pair.fields[part].value);
          pair.counts[part].textContent =
            most < Infinity ? `${now} of ${crowd.some(most, "word")}` : crowd.some(now, "word");
          pair.fields[part].disabled = this.isDisabled;
        }
      });
      this.plus.disabled = this.isDisabled || (this.maxQuestions !== null && this.pairs.length >= this.maxQuestions);
    }

    typed() {
      this.count();
      this.tell();
    }

    tell() {
      this.complain("");
      this.announce("input");
      this.announce();
    }

    tag(pair) {
      const given = crowd.labelTexts(this.questionTags);
      const tags = [...given, ...pair.tags.filter((tag) => !given.includes(tag))];
      const free = this.allowCustomQuestionTags.toLowerCase() === "true";
      pair.tagBox.hidden = !tags.length && !free;
      const chips = tags.map((tag) => {
        const box = h("input", { type: "checkbox", checked: pair.chosen.has(tag) });
        box.addEventListener("change", () => {
          if (box.checked) pair.chosen.add(tag);
          else pair.chosen.delete(tag);
          this.tell();
        });
        return h("label", {}, box, tag);
      });
      pair.tagBox.replaceChildren(h("legend", {}, "Tags"), h("div", { class: "chips" }, ...chips));
      if (!free) return;
      const field = h("input", { "aria-label": "A tag of your own", placeholder: "A tag of your own" });
      const enter = () => {
        const tag = field.value.trim();
        if (!tag) return;
        pair.tags.push(tag);
        pair.chosen.add(tag);
        this.tag(pair);
        pair.tagBox.querySelector(".own input").focus();
        this.tell();
      };
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        enter();
      });
      const button = h("button", { type: "button", class: "plain", onclick: enter }, "Add");
      pair.tagBox.append(h("div", { class: "own" }, field, button));
    }

    cite(pair) {
      const { selectionStart: start, selectionEnd: end } = this.passage;
      if (start === end) {
        this.live.textContent = this.hint.textContent;
        this.passage.focus();
        return;
      }
      if (!pair.references.some((other) => other.start === start && other.end === end))
        pair.references.push({ start, end });
      this.quote(pair);
      this.live.textContent = `“${this.text.slice(start, end)}” added.`;
      this.tell();
    }

    quote(pair) {
      pair.quotes.replaceChildren(
        ...pair.references.map((reference) => {
          const text = this.passage.value.slice(reference.start, reference.end);
          const show = () => {
            this.passage.focus();
            this.passage.setSelectionRange(reference.start, reference.end);
          };
          const remove = () => {
            pair.references = pair.references.filter((other) => other !== reference);
            this.quote(pair);
            this.tell();
          };
          return h(
            "li",
            {},
            h("button", { type: "button", class: "quote", onclick: show }, `“${text}”`),
            h("button", { type: "button", class: "close", "aria-label": `Remove “${text}”`, onclick: remove }, "×"),
          );
        }),
      );
    }

    written(pair) {
      return PARTS.some((part) => pair.fields[part].value.trim()) || pair.chosen.size || pair.references.length;
    }

    focusTarget() {
      return this.wrong()?.[0] ?? this.pairs[0].fields.question;
    }

    // The first field that isn't right, and why; null when all are.
    wrong() {
      const used = this.pairs.filter((pair) => this.written(pair));
      for (const pair of used.length < this.least ? this.pairs : used) {
        for (const part of PARTS) {
          const [least, most] = this.limits(part);
          const now = words(pair.fields[part].value);
          const called = `${pair.title.textContent}: ${part === "question" ? "its question" : "its answer"}`;
          if (now < least) return [pair.fields[part], `${called} needs at least ${crowd.some(least, "word")}.`];
          if (now > most) return [pair.fields[part], `${called} may have ${crowd.some(most, "word")} at most.`];
        }
      }
      if (used.length >= this.least) return null;
      return [this.plus, `Write at least ${crowd.some(this.least, "question")}.`];
    }

    get problem() {
      return this.wrong()?.[1] ?? "";
    }

    get value() {
      return this.answer;
    }

    get answer() {
      if (!this.built) return undefined;
      const text = this.passage.value;
      const offset = (end) => [...text.slice(0, end)].length; // Unicode characters, as Python counts
      const pairs = this.pairs.filter((pair) => this.written(pair));
      return {
        questionsAndAnswers: pairs.map((pair) => ({
          question: pair.fields.question.value.trim(),
          answer: pair.fields.answer.value.trim(),
          tags: [...pair.chosen],
          references: pair.references.map(({ start, end }) => ({
            startOffset: offset(start),
            endOffset: offset(end),
            text: text.slice(start, end),
          })),
        })),
      };
    }

    restore(answer) {
      this.cards.replaceChildren();
      this.pairs = [];
      const points = [...this.passage.value];
      const at = (offset) => points.slice(0, offset).join("").length;
      for (const given of answer?.questionsAndAnswers ?? []) {
        const pair = this.add();
        for (const part of PARTS) pair.fields[part].value = String(given?.[part] ?? "");
        pair.chosen = new Set(given?.tags ?? []);
        pair.tags = [...pair.chosen];
        pair.references = (given?.references ?? []).map(({ startOffset, endOffset }) => ({
          start: at(startOffset),
          end: at(endOffset),
        }));
        this.tag(pair);
        this.quote(pair);
      }
      if (!this.pairs.length) this.add();
      this.count();
    }

    reset() {
      this.restore(null);
      this.complain("");
    }
  }

  crowd.define("crowd-question-answer-generation", CrowdQuestionAnswerGeneration);
})(window.crowdElements);
