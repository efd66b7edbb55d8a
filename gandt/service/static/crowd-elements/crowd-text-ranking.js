// <crowd-text-ranking>: texts put in an order, once for each dimension. Each gets its rank by a row of buttons, which
// works the same by mouse, finger and keyboard; the best has rank 1.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdTextRanking extends crowd.GenerationWidget {
    static attributes = {
      ...crowd.GenerationWidget.attributes,
      "ordinal-ranking-dimensions": "json",
      responses: "json",
    };
    static styles = `${crowd.GenerationWidget.styles}
      .response { border: 1px solid var(--crowd-faint); border-radius: 0.5rem; margin: 0 0 0.75rem; }
      .response h3 { margin: 0; padding: 0.5rem 1rem; background: var(--crowd-raised); font-size: 1rem; }
      .response p { margin: 0; padding: 0.75rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
      fieldset.dimension { border: 0; margin: 0 0 1.25rem; padding: 0; min-width: 0; }
      .dimension > legend { font-weight: 600; padding: 0; }
      .hint { margin: 0.125rem 0 0.5rem; }
      .row { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; margin: 0.375rem 0; }
      .row > span { min-width: 6.5rem; }
      .ranks { display: flex; flex-wrap: wrap; gap: 0.25rem; }
      .rank input { position: absolute; opacity: 0; pointer-events: none; }
      .rank span {
        display: grid; place-items: center; min-width: 2.75rem; min-height: 2.75rem; cursor: pointer;
        border: 1px solid var(--crowd-line); border-radius: 0.375rem; background: var(--crowd-surface);
      }
      .rank span:hover { background: var(--crowd-raised); }
      .rank :checked + span { background: var(--crowd-accent); color: var(--crowd-on-accent); }
      .rank :focus-visible + span { outline: 3px solid var(--crowd-accent); outline-offset: 2px; }
      .rank { position: relative; }
      .category-picker-wrapper { position: sticky; top: 0.5rem; }
      @media (max-width: 900px) { .category-picker-wrapper { position: static; } }
    `;

    furnish() {
      super.furnish();
      this.ranks = []; // of each dimension, of each response: its rank, null while it has none
      this.list = h("div");
      this.target.append(this.list);
      this.picker.addEventListener("change", ({ target }) => this.rank(target));
    }

    get dimensions() {
      return (Array.isArray(this.ordinalRankingDimensions) ? this.ordinalRankingDimensions : []).map((item) => ({
        name: String(item?.name ?? item),
        allowTie: item?.allowTie === true || item?.allowTie === "true",
      }));
    }

    get texts() {
      return (Array.isArray(this.responses) ? this.responses : []).map((item) => String(item?.text ?? item));
    }

    changed(name) {
      super.changed(name);
      if (name === "responses" || name === "ordinal-ranking-dimensions") this.lay();
      for (const input of this.picker.querySelectorAll("input")) input.disabled = this.isDisabled;
    }

    lay() {
      const { texts, dimensions } = this;
      this.ranks = dimensions.map(() => texts.map(() => null));
      this.list.replaceChildren(
        ...texts.map((text, index) =>
          h("article", { class: "response" }, h("h3", {}, `Response ${index + 1}`), h("p", {}, text)),
        ),
      );
      this.picker.replaceChildren(
        ...dimensions.map((dimension, at) =>
          h(
            "fieldset",
            { class: "dimension" },
            h("legend", {}, dimension.name),
            h(
              "p",
              { class: "hint" },
              `1 is best; ${dimension.allowTie ? "equals may share a rank" : "each rank once"}`,
            ),
            ...texts.map((_, index) => this.row(dimension, at, index, texts.length)),
          ),
        ),
      );
    }

    row(dimension, at, index, count) {
      const called = `Response ${index + 1}`;
      const ranks = Array.from({ length: count }, (_, rank) =>
        h(
          "label",
          { class: "rank" },
          h("input", {
            type: "radio",
            name: `rank-${at}-${index}`,
            value: rank + 1,
            "data-dimension": at,
            "data-response": index,
            "aria-label": `${called}: rank ${rank + 1}`,
          }),
          h("span", { "aria-hidden": "true" }, String(rank + 1)),
        ),
      );
      const group = { class: "ranks", role: "radiogroup", "aria-label": `${dimension.name}, ${called}` };
      return h("div", { class: "row" }, h("span", { "aria-hidden": "true" }, called), h("div", group, ...ranks));
    }

    rank(input) {
      const [at, index] = [Number(input.dataset.dimension), Number(input.dataset.response)];
      this.ranks[at][index] = Number(input.value);
      this.show();
      this.complain("");
      this.announce("input");
      this.announce();
    }

    show() {
      for (const input of this.picker.querySelectorAll("input")) {
        input.checked = this.ranks[input.dataset.dimension][input.dataset.response] === Number(input.value);
      }
    }

    focusTarget() {
      const [at, index] = this.wrong() ?? [0, 0];
      const row = [...this.picker.querySelectorAll(`[name="rank-${at}-${index}"]`)];
      return row.find((input) => input.checked) ?? row[0];
    }

    get value() {
      return this.answer;
    }

    get answer() {
      if (!this.built) return undefined;
      return {
        ordinalRankingDimensions: this.dimensions.map((dimension, at) => ({
          ...dimension,
          responseRankings: [...this.ranks[at]],
        })),
      };
    }

    restore(answer) {
      const given = answer?.ordinalRankingDimensions ?? [];
      this.ranks = this.dimensions.map(({ name }) => {
        const ranks = given.find((item) => item?.name === name)?.responseRankings ?? [];
        return this.texts.map((_, index) => ranks[index] ?? null);
      });
      this.show();
    }

    // AWS's own notebooks read ordinalRankingDimensions from the answer itself, though the element had a name.
    get loose() {
      return true;
    }

    reset() {
      this.lay();
    }

    // The first response whose rank isn't right, as [dimension, response]; null when all are.
    wrong() {
      for (const [at, { allowTie }] of this.dimensions.entries()) {
        const ranks = this.ranks[at];
        const missing = ranks.indexOf(null);
        const twice = allowTie ? -1 : ranks.findIndex((rank, index) => ranks.indexOf(rank) < index);
        if (missing >= 0 || twice >= 0) return [at, missing >= 0 ? missing : twice];
      }
      return null;
    }

    get problem() {
      const [at, index] = this.wrong() ?? [];
      if (at === undefined) return "";
      const { name } = this.dimensions[at];
      const rank = this.ranks[at][index];
      if (rank === null) return `Give every response a rank for “${name}”.`;
      return `Two responses have rank ${rank} for “${name}”: give each one of its own.`;
    }
  }

  crowd.define("crowd-text-ranking", CrowdTextRanking);
})(window.crowdElements);
