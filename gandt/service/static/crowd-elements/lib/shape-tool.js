// What the tools that draw shapes share: how shapes are drawn, chosen, moved and deleted, by pointer and by keyboard.
(function (crowd) {
  "use strict";
  const { geometry } = crowd;
  const clone = (shapes) => structuredClone(shapes);

  class ShapeTool extends crowd.ShapeView {
    furnish() {
      this.shapes = [];
      this.chosen = -1; // the selected shape
      this.vertex = -1; // its selected handle
      this.fresh = false; // whether it is selected only because it was just drawn
      this.draft = null;
      this.pressing = null;
      this.mode = "draw";
      super.furnish();
      this.stage.upper.addEventListener("dblclick", (event) => this.doubled(this.stage.point(event), event));
    }

    // ------------------------------------------------------------------ state

    imageLoaded() {
      const initial = this.initialValue;
      const list = Array.isArray(initial) ? initial : (initial?.[this.constructor.key] ?? []);
      const labels = this.labelList();
      this.shapes = this.readShapes(list).filter(({ label }) => {
        // As the original: what has no matching label isn't shown.
        if (!labels.includes(label))
          crowd.report(
            `<${this.localName}>: no label is called ${JSON.stringify(label)}, so its initial value is left out`,
          );
        return labels.includes(label);
      });
      this.initial = JSON.stringify(this.shapes);
      this.chosen = this.vertex = -1;
      this.draft = null;
      this.forget();
      if (this.waiting) this.restore(this.waiting);
      this.redraw();
    }

    readShapes(list) {
      const shapes = [];
      for (const item of Array.isArray(list) ? list : []) {
        const shape = item && this.fromJSON(item);
        const points = Array.isArray(shape?.points)
          ? shape.points.map((p) => ({ x: Number(p?.x), y: Number(p?.y) }))
          : [];
        const sound =
          points.length >= this.constructor.minimum &&
          points.every((p) => Number.isFinite(p.x) && Number.isFinite(p.y));
        if (sound) shapes.push({ label: String(shape.label ?? ""), points });
        else
          crowd.report(
            `<${this.localName}>: an initial value isn't a ${this.constructor.noun}: ${JSON.stringify(item)}`,
          );
      }
      return shapes;
    }

    // The shapes were changed since `before`: one step for undo.
    commit(before) {
      const after = clone(this.shapes);
      this.did(
        () => this.put(before),
        () => this.put(after),
      );
    }

    put(shapes) {
      this.shapes = clone(shapes);
      this.chosen = this.vertex = -1;
    }

    round(point) {
      const { maximum } = this.constructor;
      const edge = maximum === 1 ? 1 : 0; // a keypoint is a pixel, a vertex may lie on the far border
      return {
        x: Math.min(this.stage.width - edge, Math.max(0, Math.round(point.x))),
        y: Math.min(this.stage.height - edge, Math.max(0, Math.round(point.y))),
      };
    }

    select(index, vertex = -1) {
      this.chosen = index;
      this.fresh = false;
      this.vertex = vertex;
      if (index >= 0) {
        this.label = this.shapes[index].label;
        super.choose(this.label);
        this.say(`${this.nameOf(index)} selected, ${this.describe(this.shapes[index])}`);
      }
      this.redraw();
    }

    // A label is chosen: for what is drawn next, and for what was selected on purpose.
    choose(label) {
      if (this.fresh) this.select(-1);
      const shape = this.shapes[this.chosen];
      super.choose(label);
      if (this.draft) this.draft.label = label;
      if (!shape || shape.label === label) return;
      const before = clone(this.shapes);
      shape.label = label;
      this.commit(before);
      this.say(`${this.nameOf(this.chosen)}`);
    }

    erase() {
      if (this.draft) {
        this.drop();
        return;
      }
      const shape = this.shapes[this.chosen];
      if (!shape) return;
      const { box, minimum, noun } = this.constructor;
      const before = clone(this.shapes);
      if (!box && this.vertex >= 0 && shape.points.length > minimum) {
        shape.points.splice(this.vertex, 1);
        this.vertex = -1;
        this.say("Point deleted.");
      } else {
        const name = this.nameOf(this.chosen);
        this.shapes.splice(this.chosen, 1);
        this.chosen = this.vertex = -1;
        this.say(`${name} deleted. ${crowd.some(this.shapes.length, noun)} left.`);
      }
      this.commit(before);
    }

    setMode(mode) {
      this.drop();
      this.mode = mode;
      this.hand(false);
      this.redraw();
    }

    // ------------------------------------------------------------------ drawing

    begin(point) {
      if (this.label === null) {
        this.say("There is no label yet.");
        return false;
      }
      this.chosen = this.vertex = -1;
      this.draft = { label: this.label, points: [point] };
      return true;
    }

    // Ends the draft: becomes a shape when it has all that it needs.
    finish() {
      const { draft } = this;
      const { minimum, box, noun } = this.constructor;
      if (!draft) return;
      let points = draft.points.map((point) => this.round(point));
      points = points.filter((point, index) => index === 0 || geometry.distance(point, points[index - 1]) > 0);
      const { left, top, right, bottom } = geometry.box(points);
      if (box)
        points = [
          { x: left, y: top },
          { x: right, y: bottom },
        ];
      const enough = box ? right > left && bottom > top : points.length >= minimum;
      if (!enough) {
        this.say(box ? "A box needs a width and a height." : `A ${noun} needs at least ${minimum} different points.`);
        this.redraw();
        return;
      }
      const before = clone(this.shapes);
      this.shapes.push({ label: draft.label, points });
      this.draft = null;
      this.chosen = this.shapes.length - 1;
      this.vertex = -1;
      this.fresh = true;
      this.commit(before);
      this.complain("");
      this.say(`${this.nameOf(this.chosen)} added, ${this.describe(this.shapes[this.chosen])}`);
    }

    drop() {
      this.draft = null;
      this.pressing = null;
      this.redraw();
    }

    // Undo within a draft takes back its last point.
    interrupt() {
      if (!this.draft) return false;
      if (this.constructor.box || this.draft.points.length < 2) this.drop();
      else this.draft.points.pop();
      this.redraw();
      return true;
    }

    moveHandle(shape, index, point) {
      if (!this.constructor.box) {
        shape.points[index] = this.stage.clamp(point);
        return;
      }
      const box = geometry.box(shape.points);
      const { x, y } = this.stage.clamp(point);
      if ([0, 6, 7].includes(index)) box.left = Math.min(x, box.right - 1);
      if ([2, 3, 4].includes(index)) box.right = Math.max(x, box.left + 1);
      if ([0, 1, 2].includes(index)) box.top = Math.min(y, box.bottom - 1);
      if ([4, 5, 6].includes(index)) box.bottom = Math.max(y, box.top + 1);
      shape.points = [
        { x: box.left, y: box.top },
        { x: box.right, y: box.bottom },
      ];
    }

    // The whole shape, but not beyond the image's borders.
    moveShape(shape, dx, dy) {
      const { left, top, right, bottom } = geometry.box(shape.points);
      const edge = this.constructor.maximum === 1 ? 1 : 0;
      const x = Math.min(this.stage.width - edge - right, Math.max(-left, dx));
      const y = Math.min(this.stage.height - edge - bottom, Math.max(-top, dy));
      shape.points = shape.points.map((p) => ({ x: p.x + x, y: p.y + y }));
    }

    // What a press at the point means: {index, vertex} or null. Handles before edges, the selected shape first, then
    // the newest.
    hit(point, event, interior) {
      const order = [...this.shapes.keys()].reverse();
      if (this.chosen >= 0) order.unshift(this.chosen);
      const near = this.stage.reach(event, 8, 18);
      for (const index of order) {
        const handles = this.handles(this.shapes[index]);
        const distances = handles.map((handle) => geometry.distance(point, handle));
        const vertex = distances.indexOf(Math.min(...distances));
        if (distances[vertex] <= near) return { index, vertex };
      }
      const edge = this.stage.reach(event, 5, 10);
      for (const index of order) {
        const outline = this.outline(this.shapes[index]);
        const touched = geometry
          .edges(outline, this.constructor.closed)
          .some(([a, b]) => geometry.toSegment(point, a, b) <= edge);
        if (touched || (interior && this.constructor.closed && geometry.inside(point, outline)))
          return { index, vertex: -1 };
      }
      return null;
    }

    // The middle of what is selected, for zooming in on it.
    middle() {
      const shape = this.shapes[this.chosen];
      if (!shape) return null;
      const { left, top, right, bottom } = geometry.box(shape.points);
      return { x: (left + right) / 2, y: (top + bottom) / 2 };
    }

    // ------------------------------------------------------------------ pointer

    down(point, event) {
      if (this.isDisabled) return;
      const { box, closed, maximum } = this.constructor;
      const { draft } = this;
      if (draft && !box) {
        if (
          closed &&
          draft.points.length > 2 &&
          geometry.distance(point, draft.points[0]) <= this.stage.reach(event, 10, 20)
        ) {
          this.finish();
          return;
        }
        draft.points.push(point);
        this.pressing = { kind: "place", draft: draft.points.slice(0, -1) };
        this.redraw();
        return;
      }
      const hit = this.hit(point, event, this.mode === "select");
      if (hit) {
        this.pressing = { kind: "drag", before: clone(this.shapes), from: point, moved: false, ...hit };
        this.select(hit.index, hit.vertex);
      } else if (this.mode === "select") {
        this.select(-1);
        this.stage.dragging = event;
      } else if (this.begin(point)) {
        if (box || maximum === 2) this.draft.points.push(point);
        this.pressing = { kind: box || maximum === 2 ? "stretch" : "place", from: point, draft: null };
        this.redraw();
      }
    }

    move(point) {
      const press = this.pressing;
      if (!press) return;
      if (press.kind === "drag") {
        const shape = clone(press.before[press.index]);
        press.moved ||= geometry.distance(point, press.from) * this.stage.scale >= 2;
        if (!press.moved) return;
        if (press.vertex >= 0) this.moveHandle(shape, press.vertex, point);
        else this.moveShape(shape, point.x - press.from.x, point.y - press.from.y);
        this.shapes[press.index] = shape;
      } else this.draft.points[this.draft.points.length - 1] = point;
      this.redraw();
    }

    up(point, event) {
      const press = this.pressing;
      this.pressing = null;
      if (!press) return;
      const { box, maximum } = this.constructor;
      if (press.kind === "drag") {
        if (!press.moved) return;
        const shape = this.shapes[press.index];
        shape.points = shape.points.map((p) => this.round(p));
        this.commit(press.before);
        this.say(`${this.nameOf(press.index)} moved, ${this.describe(shape)}`);
      } else if (press.kind === "stretch") {
        const short = geometry.distance(point, press.from) * this.stage.scale < 4;
        if (!short) this.finish();
        else if (box) {
          this.drop();
          const hit = this.hit(point, event, true); // a click within a box selects it
          if (hit) this.select(hit.index);
        } else {
          this.draft.points.pop(); // a line's first end; a second click gives the other
          this.redraw();
        }
      } else if (this.draft?.points.length >= maximum) this.finish();
    }

    hover(point, event) {
      this.pointer = point;
      const over = !this.draft && this.hit(point, event, this.mode === "select") !== null;
      this.stage.sheet.classList.toggle("over", over && !this.stage.panning);
      if (this.draft) this.redraw();
    }

    cancel() {
      const press = this.pressing;
      this.pressing = null;
      if (!press) return;
      if (press.kind === "drag") this.shapes = press.before;
      else if (press.draft) this.draft.points = press.draft;
      else this.draft = null;
      this.redraw();
    }

    // A double click ends a draft, or adds a point to an edge of the selected shape.
    doubled(point, event) {
      const { box, closed, maximum } = this.constructor;
      if (this.draft) {
        this.finish();
        return;
      }
      const shape = this.shapes[this.chosen];
      if (box || maximum <= 2 || !shape) return;
      const at = geometry
        .edges(shape.points, closed)
        .findIndex(([a, b]) => geometry.toSegment(point, a, b) <= this.stage.reach(event, 6, 12));
      if (at < 0 || shape.points.some((p) => geometry.distance(p, point) <= this.stage.reach(event, 8, 18))) return;
      const before = clone(this.shapes);
      shape.points.splice(at + 1, 0, this.round(point));
      this.vertex = at + 1;
      this.commit(before);
    }

    // ------------------------------------------------------------------ keyboard

    press(event, onStage) {
      const { key } = event;
      if (key === "Escape") {
        if (!this.draft && this.chosen < 0) return false;
        if (this.draft) this.drop();
        else this.select(-1);
        return true;
      }
      if (key === "Delete" || (key === "Backspace" && onStage)) {
        if (key === "Backspace" && this.draft) this.interrupt();
        else this.erase();
        return true;
      }
      if ((key === "[" || key === "]") && this.shapes.length) {
        const count = this.shapes.length;
        const start = this.chosen < 0 && key === "[" ? 0 : this.chosen;
        this.select((start + (key === "]" ? 1 : -1) + count) % count);
        return true;
      }
      if (key.toLowerCase() === "v" && this.chosen >= 0) {
        this.vertex = (this.vertex + 1) % this.handles(this.shapes[this.chosen]).length;
        this.say(`Point ${this.vertex + 1}`);
        this.redraw();
        return true;
      }
      if (!onStage || this.isDisabled || !this.stage.width) return false;
      if (key === "Enter" && this.draft) {
        this.finish();
        return true;
      }
      if (key === " ") {
        this.stamp();
        return true;
      }
      const step = this.stage.step(event);
      if (step) this.arrow(step);
      return step !== null;
    }

    arrow(step) {
      const shape = this.shapes[this.chosen];
      if (shape && !this.draft) {
        const before = clone(this.shapes);
        if (this.vertex >= 0) {
          const at = this.handles(shape)[this.vertex];
          this.moveHandle(shape, this.vertex, { x: at.x + step.x, y: at.y + step.y });
          shape.points = shape.points.map((p) => this.round(p));
        } else this.moveShape(shape, step.x, step.y);
        this.commit(before);
        this.say(this.describe(shape));
        return;
      }
      const from = this.stage.cursor ?? this.stage.center();
      const to = this.round({ x: from.x + step.x, y: from.y + step.y });
      this.pointer = to;
      if (this.draft && this.constructor.box) this.draft.points[1] = to;
      this.stage.setCursor(to);
      this.say(`${to.x}, ${to.y}`);
    }

    // Space: what a press and release at the cross would be.
    stamp() {
      const { box, closed, maximum } = this.constructor;
      const at = this.stage.cursor ?? this.round(this.stage.center());
      this.stage.setCursor(at);
      if (!this.draft) {
        if (!this.begin(at)) return;
        if (box) this.draft.points.push(at);
        if (maximum === 1) this.finish();
        else this.say(`First ${box ? "corner" : "point"} at ${at.x}, ${at.y}`);
      } else if (box) {
        this.draft.points[1] = at;
        this.finish();
      } else if (closed && this.draft.points.length > 2 && geometry.distance(at, this.draft.points[0]) < 1)
        this.finish();
      else {
        this.draft.points.push(at);
        this.say(`Point ${this.draft.points.length} at ${at.x}, ${at.y}`);
        if (this.draft.points.length >= maximum) this.finish();
      }
      // The next arrow moves the cross again, not what was just drawn.
      if (!this.draft) this.chosen = this.vertex = -1;
      this.redraw();
    }

    // ------------------------------------------------------------------ answer

    get answer() {
      if (!this.stage?.width) return undefined;
      const answer = {
        [this.constructor.key]: this.shapes.map((shape) => this.toJSON(clone(shape))),
        inputImageProperties: this.imageProperties,
      };
      if (this.hasInitialValue) answer.initialValueModified = JSON.stringify(this.shapes) !== this.initial;
      return answer;
    }

    restore(answer) {
      if (!this.stage.width) {
        this.waiting = answer;
        return;
      }
      this.waiting = null;
      this.put(this.readShapes(answer?.[this.constructor.key]));
      this.forget();
      this.redraw();
    }

    reset() {
      this.imageLoaded();
      this.complain("");
    }

    get problem() {
      return (
        super.problem ||
        (this.draft ? `Finish the ${this.constructor.noun} that you began, or give it up with Esc.` : "")
      );
    }
  }

  crowd.ShapeTool = ShapeTool;
})(window.crowdElements);
