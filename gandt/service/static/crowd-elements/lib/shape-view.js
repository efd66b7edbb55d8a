// The shapes of crowd-bounding-box, -polygon, -polyline, -line and -keypoint: how they look, what they are called.
// A shape is {label, points}; a box's points are two opposite corners. lib/shape-tool.js is what one does with them.
(function (crowd) {
  "use strict";
  const { h, geometry } = crowd;

  class ShapeView extends crowd.ImageTool {
    static key = ""; // of the list in the answer
    static noun = "";
    static minimum = 1; // points
    static maximum = Infinity;
    static closed = false;
    static box = false;

    // Subclasses: {label, points} to what stands in the answer and back.
    toJSON({ label, points }) {
      return { label, vertices: points };
    }

    fromJSON({ label, vertices }) {
      return { label, points: vertices };
    }

    // ------------------------------------------------------------------ tools and words

    makeModes() {
      this.drawTool = this.tool("create", `Draw a ${this.constructor.noun}`, () => this.setMode("draw"), {
        "aria-pressed": "true",
      });
      this.selectTool = this.tool("cursor", "Select and move", () => this.setMode("select"), {
        "aria-pressed": "false",
      });
    }

    makeMoreTools() {
      this.deleteTool = this.tool("delete", "Delete", () => this.erase());
      this.finishTool = this.tool("check", `Finish this ${this.constructor.noun}`, () => this.finish());
      this.finishTool.classList.add("finish");
      this.finishTool.append("Finish");
      this.advice.append(this.finishTool);
    }

    help() {
      const { noun, box, maximum, closed } = this.constructor;
      const drawn = box
        ? "draw a box: press at one corner, release at the other"
        : maximum === 1
          ? "place a point"
          : maximum === 2
            ? "draw a line: from its start to its end"
            : `add a point; ${closed ? "the first point again, or " : ""}a double click ends the ${noun}`;
      return [
        ["press, drag", `${drawn}. On an edge or point of a ${noun}: move it`],
        ["arrows, Shift arrows", "move the cross, or what is selected, by a step or by one pixel"],
        ["Space", box ? "first corner, then second corner" : "add a point at the cross"],
        ...(maximum > 2 ? [["Enter", `end the ${noun}`]] : []),
        ["Esc", `give up the unfinished ${noun}, or deselect`],
        ["[ and ]", `select the previous or next ${noun}`],
        ...(maximum === 1 ? [] : [["V", "select the next point of what is selected"]]),
        ["Delete", "delete what is selected"],
      ];
    }

    describe({ label, points }) {
      const { box, maximum } = this.constructor;
      if (box) {
        const { left, top, width, height } = this.toJSON({ label, points });
        return `left ${left}, top ${top}, ${width} by ${height}`;
      }
      if (maximum === 1) return `at ${points[0].x}, ${points[0].y}`;
      if (maximum === 2) return points.map((p) => `${p.x}, ${p.y}`).join(" to ");
      return `${points.length} points`;
    }

    // "Cat 2": the second cat.
    nameOf(index) {
      const { label } = this.shapes[index];
      const nth = this.shapes.slice(0, index + 1).filter((shape) => shape.label === label).length;
      return `${label || this.constructor.noun} ${nth}`;
    }

    // ------------------------------------------------------------------ geometry

    outline({ points }) {
      if (!this.constructor.box) return points;
      const { left, top, right, bottom } = geometry.box(points);
      return [
        { x: left, y: top },
        { x: right, y: top },
        { x: right, y: bottom },
        { x: left, y: bottom },
      ];
    }

    // A box has eight handles, clockwise from its upper left corner; others have their points.
    handles(shape) {
      if (!this.constructor.box) return shape.points;
      const corners = this.outline(shape);
      return corners.flatMap((a, index) => {
        const b = corners[(index + 1) % 4];
        return [a, { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }];
      });
    }

    // ------------------------------------------------------------------ what is seen

    redraw() {
      super.redraw();
      if (!this.deleteTool) return;
      const { maximum, minimum, box } = this.constructor;
      const { draft, mode } = this;
      this.drawTool.setAttribute("aria-pressed", String(mode === "draw"));
      this.selectTool.setAttribute("aria-pressed", String(mode === "select"));
      this.deleteTool.disabled = !draft && this.chosen < 0;
      this.finishTool.hidden = !draft || box || maximum <= 2;
      this.finishTool.disabled = !draft || draft.points.length < minimum;
      this.hint.textContent = this.hintText();
      if (this.stage.width) this.paint();
      this.listShapes();
    }

    hintText() {
      const { noun, maximum, box } = this.constructor;
      if (this.src && !this.stage.width) return "The image is being loaded.";
      if (this.label === null) return "There is no label yet.";
      if (this.draft && maximum > 2) {
        return `${crowd.some(this.draft.points.length, "point")}. Enter or Finish ends the ${noun}, Esc gives it up.`;
      }
      if (box) return "Drag from one corner of the box to the other.";
      if (maximum === 1) return "Click to place a point.";
      if (maximum > 2) return `Click to place the points of the ${noun}.`;
      return this.draft ? "Now the other end." : "Drag from one end of the line to the other.";
    }

    paint() {
      const { svg, scale, cursor } = this.stage;
      const parts = [];
      this.shapes.forEach((shape, index) => parts.push(...this.drawing(shape, index === this.chosen, shape.label)));
      if (this.draft) {
        const preview =
          this.pointer && !this.pressing && !this.constructor.box
            ? [...this.draft.points, this.pointer]
            : this.draft.points;
        parts.push(...this.drawing({ ...this.draft, points: preview }, true, null));
      }
      if (cursor) {
        const r = 12 / scale;
        for (const [width, color] of [
          [4, "#000"],
          [2, "#fff"],
        ]) {
          parts.push(
            h("svg:path", {
              d: `M${cursor.x - r} ${cursor.y}h${2 * r}M${cursor.x} ${cursor.y - r}v${2 * r}`,
              stroke: color,
              "stroke-width": width,
              "vector-effect": "non-scaling-stroke",
            }),
          );
        }
      }
      svg.replaceChildren(...parts);
    }

    drawing(shape, chosen, tag) {
      const { scale } = this.stage;
      const { closed, maximum, box } = this.constructor;
      const color = this.colorFor(shape.label);
      const outline = this.outline(shape);
      const open = tag === null && !box; // a draft that isn't closed yet
      const d = `M${outline.map((p) => `${p.x} ${p.y}`).join("L")}${closed && !open ? "Z" : ""}`;
      const parts = [];
      if (maximum > 1) {
        // A dark line under the coloured one, so that it shows on any image.
        parts.push(
          h("svg:path", {
            d,
            fill: "none",
            stroke: "#000",
            "stroke-opacity": 0.5,
            "stroke-width": 5,
            "vector-effect": "non-scaling-stroke",
          }),
        );
        parts.push(
          h("svg:path", {
            d,
            fill: closed ? color : "none",
            "fill-opacity": chosen ? 0.25 : 0.1,
            stroke: color,
            "stroke-width": chosen ? 3.5 : 2.5,
            "vector-effect": "non-scaling-stroke",
          }),
        );
      }
      const shown = chosen || maximum === 1 ? (tag === null ? shape.points : this.handles(shape)) : [];
      shown.forEach((point, index) => {
        const picked = chosen && index === this.vertex && tag !== null;
        parts.push(
          h("svg:circle", {
            cx: point.x,
            cy: point.y,
            r: (picked ? 8 : chosen ? 6.5 : 5) / scale,
            fill: picked || (maximum === 1 && !chosen) ? color : "#fff",
            stroke: picked ? "#fff" : maximum === 1 && !chosen ? "#fff" : color,
            "stroke-width": 2,
            "vector-effect": "non-scaling-stroke",
          }),
        );
      });
      if (tag) parts.push(this.tag(outline, tag, color));
      return parts;
    }

    tag(outline, text, color) {
      const { scale, width, height } = this.stage;
      const size = 13 / scale;
      const wide = (text.length * 0.62 + 0.8) * size;
      let { left, top } = geometry.box(outline);
      if (this.constructor.maximum === 1) {
        // Beside the point, on the side that has room for it.
        left += left + size * 0.7 + wide > width ? -size * 0.7 - wide : size * 0.7;
        top += size * 0.7;
      }
      const x = Math.max(0, Math.min(left, width - wide));
      const y = Math.min(Math.max(top, size * 1.35), height);
      return h(
        "svg:g",
        {},
        h("svg:rect", {
          x,
          y: y - size * 1.35,
          width: wide,
          height: size * 1.35,
          fill: "#16191f",
          "fill-opacity": 0.85,
          stroke: color,
          "stroke-width": 1.5,
          "vector-effect": "non-scaling-stroke",
        }),
        h(
          "svg:text",
          {
            x: x + size * 0.4,
            y: y - size * 0.38,
            "font-size": size,
            "font-family": "ui-monospace, monospace",
            fill: "#fff",
            textLength: wide - size * 0.8,
            lengthAdjust: "spacingAndGlyphs",
          },
          text,
        ),
      );
    }

    listShapes() {
      if (!this.list || this.pressing) return; // not while something is dragged
      const { noun } = this.constructor;
      const state = JSON.stringify([this.shapes, this.chosen, this.labels]);
      if (state === this.listed) return;
      this.listed = state;
      const focused = this.shadowRoot.activeElement?.dataset?.shape;
      const items = this.shapes.map((shape, index) => {
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = this.colorFor(shape.label);
        const pick = h(
          "button",
          {
            type: "button",
            class: "pick",
            "aria-pressed": String(index === this.chosen),
            "data-shape": index,
            onclick: () => {
              this.select(index);
              this.stage.view.focus({ preventScroll: true });
            },
          },
          swatch,
          h("span", {}, this.nameOf(index), " ", h("small", {}, this.describe(shape))),
        );
        const remove = h(
          "button",
          {
            type: "button",
            "aria-label": `Delete ${this.nameOf(index)}`,
            onclick: () => {
              this.select(index);
              this.erase();
              (this.list.querySelector("button") ?? this.stage.view).focus();
            },
          },
          "×",
        );
        return h("li", {}, pick, remove);
      });
      this.list.hidden = items.length === 0;
      this.list.replaceChildren(h("h3", {}, crowd.some(items.length, noun)), h("ul", {}, ...items));
      if (focused !== undefined) this.list.querySelector(`[data-shape="${focused}"]`)?.focus();
    }
  }

  crowd.ShapeView = ShapeView;
})(window.crowdElements);
