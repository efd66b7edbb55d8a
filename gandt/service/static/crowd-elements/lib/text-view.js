// The text of crowd-entity-annotation: its marks, the selection and the cursor, and which letter is where.
// An entity is {label, start, end}, in UTF-16 units. crowd-entity-annotation.js is what one does with them.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class TextView extends crowd.CrowdWidget {
    static styles = `${crowd.CrowdWidget.styles}
      .paper {
        position: relative; padding: 0.75rem 1rem; border: 1px solid var(--crowd-line); border-radius: 0.375rem;
        line-height: 2.1;
        white-space: pre-wrap; overflow-wrap: anywhere; cursor: text; user-select: none; -webkit-user-select: none;
        touch-action: pan-y;
        max-height: 70vh; overflow: auto;
      }
      .letters { position: relative; }
      mark {
        background: var(--crowd-raised); color: inherit; border: 2px solid; border-radius: 0.25rem;
        padding: 0.125rem 0.1875rem;
        cursor: pointer; box-decoration-break: clone; -webkit-box-decoration-break: clone;
      }
      mark.chosen { outline: 3px solid var(--crowd-accent); }
      .tag {
        font-size: 0.75rem; font-weight: 600; padding: 0.0625rem 0.3125rem; margin-right: 0.25rem;
        border-radius: 0.1875rem; background: #16191f; color: #fff;
      }
      .remove {
        border: 0; background: none; padding: 0 0.25rem; min-width: 1.5rem; min-height: 1.5rem; line-height: 1;
        font-weight: 600;
      }
      .shade { position: absolute; background: var(--crowd-accent); opacity: 0.3; pointer-events: none; }
      .caret { position: absolute; width: 2px; background: var(--crowd-accent); pointer-events: none; }
    `;

    // [{label, short, full}]
    labelList() {
      return (Array.isArray(this.labels) ? this.labels : []).map((item) => {
        const label = crowd.labelTexts([item])[0];
        return { label, short: String(item?.shortDisplayName ?? label), full: String(item?.fullDisplayName ?? label) };
      });
    }

    colorFor(label) {
      const index = this.labelList().findIndex((item) => item.label === label);
      return index < 0 ? "#808080" : crowd.colorOf(index);
    }

    nameOf(label) {
      return this.labelList().find((item) => item.label === label)?.full ?? label;
    }

    quote({ start, end }) {
      return `“${this.text.slice(start, end)}”`;
    }

    // Where in the text a pointer is; null when that can't be said.
    offsetAt({ clientX, clientY }) {
      const found = document.caretPositionFromPoint?.(clientX, clientY, { shadowRoots: this.roots() });
      const piece = this.pieces.find(({ node }) => node === found?.offsetNode);
      if (piece) return this.whole(piece.start + found.offset);
      // Browsers that don't look into shadow roots, and points beside the text: the nearest letter, line by line.
      let [best, least] = [null, Infinity];
      const range = document.createRange();
      for (const { node, start } of this.pieces) {
        range.selectNodeContents(node);
        const { top, bottom } = range.getBoundingClientRect();
        if (Math.max(top - clientY, 0, clientY - bottom) * 1000 >= least) continue;
        for (let i = 0; i < node.length; i++) {
          range.setStart(node, i);
          range.setEnd(node, i + 1);
          for (const box of range.getClientRects()) {
            const dy = Math.max(box.top - clientY, 0, clientY - box.bottom);
            const dx = Math.max(box.left - clientX, 0, clientX - box.right);
            if (dy * 1000 + dx >= least) continue;
            least = dy * 1000 + dx;
            best = start + i + (clientX > (box.left + box.right) / 2 ? 1 : 0);
          }
        }
      }
      return best === null ? null : this.whole(best);
    }

    // Never between the two halves of a character.
    whole(offset) {
      return /[\uDC00-\uDFFF]/.test(this.text[offset] ?? "") ? offset - 1 : offset;
    }

    roots() {
      const roots = [this.shadowRoot];
      for (let root = this.getRootNode(); root instanceof ShadowRoot; root = root.host.getRootNode()) roots.push(root);
      return roots;
    }

    // ------------------------------------------------------------------ what is seen

    draw() {
      if (!this.letters) return;
      this.pieces = []; // the text nodes and where each begins
      const parts = [];
      const piece = (start, end) => {
        const node = document.createTextNode(this.text.slice(start, end));
        this.pieces.push({ node, start });
        return node;
      };
      let at = 0;
      for (const entity of this.entities) {
        parts.push(...this.cuts(at, entity.start).map(([from, to]) => piece(from, to)));
        parts.push(this.drawing(entity, piece(entity.start, entity.end)));
        at = entity.end;
      }
      parts.push(...this.cuts(at, this.text.length).map(([from, to]) => piece(from, to)));
      this.letters.replaceChildren(...parts);
      this.undoTool.disabled = this.past.length === 0;
      this.redoTool.disabled = this.future.length === 0;
      this.listEntities();
      this.drawSelection();
    }

    // Long stretches in pieces of a few lines, cut at blanks: finding a letter needs to look at few of them.
    cuts(start, end) {
      const cuts = [];
      while (start < end) {
        const blank = end - start > 300 ? this.text.slice(start + 200, start + 300).search(/\s/) : -1;
        const cut = blank < 0 ? Math.min(end, start + 2000) : start + 200 + blank;
        cuts.push([start, this.whole(cut)]);
        start = cuts.at(-1)[1];
      }
      return cuts;
    }

    drawing(entity, node) {
      const short = this.labelList().find((item) => item.label === entity.label)?.short ?? entity.label;
      const mark = h(
        "mark",
        { "data-start": entity.start, class: entity === this.chosen ? "chosen" : null },
        h("span", { class: "tag" }, short),
        node,
        h(
          "button",
          {
            type: "button",
            class: "remove",
            tabindex: -1,
            "aria-label": `Remove the mark from ${this.quote(entity)}`,
            onclick: () => this.remove(entity),
          },
          "×",
        ),
      );
      mark.style.borderColor = this.colorFor(entity.label);
      return mark;
    }

    listEntities() {
      const items = this.entities.map((entity) => {
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = this.colorFor(entity.label);
        return h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              class: "pick",
              "aria-pressed": String(entity === this.chosen),
              onclick: () => this.pick(entity),
            },
            swatch,
            h("span", {}, this.text.slice(entity.start, entity.end), " ", h("small", {}, this.nameOf(entity.label))),
          ),
          h(
            "button",
            {
              type: "button",
              "aria-label": `Remove ${this.quote(entity)}`,
              onclick: () => {
                this.remove(entity);
                this.paper.focus();
              },
            },
            "×",
          ),
        );
      });
      this.list.replaceChildren(
        h("h3", {}, `${items.length} ${items.length === 1 ? "entity" : "entities"}`),
        h("ul", {}, ...items),
      );
    }

    place(offset) {
      const piece = this.pieces.findLast(({ start }) => start <= offset) ?? this.pieces[0];
      return piece ? [piece.node, Math.min(offset - piece.start, piece.node.length)] : null;
    }

    drawSelection() {
      const parts = [];
      const origin = this.paper.getBoundingClientRect();
      const [dx, dy] = [
        this.paper.scrollLeft - origin.left - this.paper.clientLeft,
        this.paper.scrollTop - origin.top - this.paper.clientTop,
      ];
      const put = (kind, box, width) => {
        const part = h("div", { class: kind });
        Object.assign(part.style, {
          left: `${box.left + dx}px`,
          top: `${box.top + dy}px`,
          height: `${box.height}px`,
          ...(width && { width: `${width}px` }),
        });
        parts.push(part);
      };
      const range = document.createRange();
      if (this.anchor !== null && this.caret !== null && this.anchor !== this.caret) {
        for (const { node, start } of this.pieces) {
          const from = Math.max(0, Math.min(this.anchor, this.caret) - start);
          const to = Math.min(node.length, Math.max(this.anchor, this.caret) - start);
          if (from >= to) continue;
          range.setStart(node, from);
          range.setEnd(node, to);
          for (const box of range.getClientRects()) put("shade", box, box.width);
        }
      }
      const place = this.caret !== null && this.shadowRoot.activeElement === this.paper ? this.place(this.caret) : null;
      if (place) {
        const [node, at] = place;
        const end = at >= node.length;
        range.setStart(node, end ? Math.max(0, at - 1) : at);
        range.setEnd(node, end ? at : at + 1);
        const box = [...range.getClientRects()].at(end ? -1 : 0);
        if (box) put("caret", { left: end ? box.right : box.left, top: box.top, height: box.height });
      }
      this.shades.replaceChildren(...parts);
    }
  }

  crowd.TextView = TextView;
})(window.crowdElements);
