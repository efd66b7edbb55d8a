// What crowd-semantic-segmentation and crowd-instance-segmentation share: brush, eraser and polygon over a mask.
// A layer is {label, color}; its number in the mask is its place in the list, from 1.
(function (crowd) {
  "use strict";
  const { h, geometry } = crowd;

  class MaskTool extends crowd.ImageTool {
    furnish() {
      this.layers = [];
      this.layer = 0; // the one that is painted with
      this.mask = null;
      this.mode = "brush";
      this.size = 24; // of the brush, in pixels of the image
      this.draft = null; // of the polygon
      this.stroke = null;
      this.pen = false; // the keyboard's: down while it paints
      this.loading = "";
      super.furnish();
    }

    makeModes() {
      this.modes = {
        brush: this.tool("brush", "Brush", () => this.setMode("brush")),
        eraser: this.tool("eraser", "Eraser", () => this.setMode("eraser")),
        polygon: this.tool("polygon", "Fill a polygon", () => this.setMode("polygon")),
      };
      this.slider = h("input", {
        type: "range",
        min: 1,
        max: 100,
        "aria-label": "Size of the brush",
        title: "Size of the brush",
      });
      this.slider.addEventListener("input", () => this.setSize(Number(this.slider.value)));
      this.toolbar.append(this.slider);
    }

    makeMoreTools() {
      this.finishTool = this.tool("check", "Fill this polygon", () => this.finish());
      this.finishTool.classList.add("finish");
      this.finishTool.append("Finish");
      this.advice.append(this.finishTool);
    }

    help() {
      return [
        ["press, drag", "paint, or erase"],
        ["B, E, P", "brush, eraser, polygon"],
        ["< and >", "a smaller or bigger brush"],
        ["arrows, Shift arrows", "move the cross by a step or by one pixel"],
        ["Space", "brush and eraser: put down or lift the brush at the cross; polygon: add a point"],
        ["Enter", "fill the polygon"],
        ["Esc", "lift the brush, or give up the polygon"],
      ];
    }

    setMode(mode) {
      this.lift();
      this.draft = null;
      this.mode = mode;
      this.hand(false);
      this.redraw();
      this.say(mode);
    }

    setSize(size) {
      this.size = Math.min(Number(this.slider.max), Math.max(1, Math.round(size)));
      this.redraw();
    }

    // ------------------------------------------------------------------ layers

    addLayer(label, color) {
      this.layers.push({ label, color });
      this.mask?.setColor(this.layers.length, color);
      return this.layers.length;
    }

    imageLoaded() {
      const { width, height } = this.stage;
      if (this.mask) this.mask.canvas.remove();
      this.mask = new crowd.Mask(width, height);
      this.stage.svg.before(this.mask.canvas);
      this.layers = [];
      this.draft = this.stroke = null;
      this.slider.max = Math.max(10, Math.round(Math.max(width, height) / 4));
      this.setSize(Math.max(2, Math.round(Math.max(width, height) / 30)));
      this.forget();
      const initial = this.waiting ?? this.initialValue;
      this.startLayers(initial);
      this.listLabels();
      const picture = this.waiting ? this.waiting.labeledImage?.pngImageData : null;
      const address = picture ? `data:image/png;base64,${picture}` : this.waiting ? null : initial?.src;
      this.waiting = null;
      if (address) this.takeOver(address);
    }

    // Subclasses: the layers at the start, from an initial value or an earlier answer.
    startLayers() {}

    takeOver(address) {
      const { mask } = this;
      const image = new Image();
      if (!address.startsWith("data:")) image.crossOrigin = "anonymous";
      this.loading = "The earlier annotation is still being loaded.";
      image.onload = () => {
        if (mask !== this.mask) return;
        try {
          mask.paint(image);
          this.loading = "";
        } catch {
          this.fail("The earlier annotation can't be read, because its server does not allow it (CORS).");
          this.loading = "The earlier annotation could not be loaded.";
        }
        this.redraw();
      };
      image.onerror = () => {
        if (mask !== this.mask) return;
        this.loading = "The earlier annotation could not be loaded.";
        this.fail(this.loading);
      };
      image.src = address;
    }

    commit() {
      const tiles = this.mask.end();
      if (!tiles) return;
      const swap = () => this.mask.swap(tiles);
      this.did(swap, swap);
      this.complain("");
    }

    // ------------------------------------------------------------------ painting

    // The layer to paint with; makes one where there is none yet. 0 when there is no label.
    ensureLayer() {
      return this.layer;
    }

    ready() {
      if (this.isDisabled || !this.mask) return false;
      if (this.mode === "eraser") return true;
      if (this.label !== null && this.ensureLayer()) return true;
      this.say("There is no label yet.");
      return false;
    }

    dab(a, b) {
      const { width, height } = this.mask;
      const layer = this.mode === "eraser" ? 0 : this.layer;
      this.mask.fill(geometry.strokeSpans(a, b, this.size / 2, width, height), layer);
    }

    down(point, event) {
      this.pointer = point;
      if (this.mode === "polygon") {
        if (!this.draft) {
          if (!this.ready()) return;
          this.draft = [];
        }
        const near = this.stage.reach(event, 10, 20);
        if (this.draft.length > 2 && geometry.distance(point, this.draft[0]) <= near) this.finish();
        else if (this.draft.length > 1 && geometry.distance(point, this.draft.at(-1)) < 1 / this.stage.scale)
          this.finish();
        else {
          this.draft.push(point);
          this.stroke = { kind: "place" };
        }
        this.redraw();
        return;
      }
      this.lift();
      if (!this.ready()) return;
      this.mask.begin();
      this.stroke = { kind: "paint", at: point };
      this.dab(point, point);
    }

    move(point) {
      this.pointer = point;
      if (this.stroke?.kind === "paint") {
        this.dab(this.stroke.at, point);
        this.stroke.at = point;
      } else if (this.stroke && this.draft) this.draft[this.draft.length - 1] = point;
      this.redraw();
    }

    up(point) {
      this.move(point);
      const { stroke } = this;
      this.stroke = null;
      if (stroke?.kind === "paint") this.commit();
    }

    hover(point) {
      this.pointer = point;
      this.redraw();
    }

    cancel() {
      const { stroke } = this;
      this.stroke = null;
      if (stroke?.kind === "paint") {
        const tiles = this.mask.end();
        if (tiles) this.mask.swap(tiles);
      } else if (stroke && this.draft) {
        this.draft.pop();
        if (!this.draft.length) this.draft = null;
      }
      this.redraw();
    }

    finish() {
      if (!this.draft) return;
      if (this.draft.length < 3) {
        this.say("A polygon needs at least 3 points.");
        return;
      }
      const points = this.draft;
      this.draft = this.stroke = null;
      if (!this.ready()) return;
      this.mask.begin();
      this.mask.fill(geometry.spans(points, this.mask.width, this.mask.height), this.layer);
      this.commit();
      this.say("Polygon filled.");
      this.redraw();
    }

    interrupt() {
      this.lift();
      if (!this.draft) return false;
      this.draft.pop();
      if (!this.draft.length) this.draft = null;
      this.redraw();
      return true;
    }

    // ------------------------------------------------------------------ keyboard

    press(event, onStage) {
      const { key } = event;
      const mode = { b: "brush", e: "eraser", p: "polygon" }[key.toLowerCase()];
      if (mode) this.setMode(mode);
      else if (key === "<" || key === ",") this.setSize(this.size / 1.25 - 0.5);
      else if (key === ">" || key === ".") this.setSize(this.size * 1.25 + 0.5);
      else if (key === "Escape" && (this.pen || this.draft)) {
        this.lift();
        this.draft = null;
        this.redraw();
      } else if (!onStage || !this.mask) return false;
      else if (key === "Enter" && this.draft) this.finish();
      else if (key === " ") this.stamp();
      else {
        const step = this.stage.step(event);
        if (!step) return false;
        const from = this.stage.cursor ?? this.stage.center();
        const to = this.stage.clamp({ x: Math.round(from.x + step.x), y: Math.round(from.y + step.y) });
        if (this.pen) this.dab(from, to);
        this.pointer = to;
        this.stage.setCursor(to);
        this.say(`${to.x}, ${to.y}`);
      }
      return true;
    }

    stamp() {
      const at = this.stage.cursor ?? this.stage.center();
      this.pointer = at;
      if (this.mode === "polygon") {
        if (!this.draft && !this.ready()) return;
        this.draft = [...(this.draft ?? []), at];
        this.say(`Point ${this.draft.length} at ${at.x}, ${at.y}`);
      } else if (this.pen) {
        this.lift();
        this.say("Brush lifted.");
      } else if (this.ready()) {
        this.mask.begin();
        this.pen = true;
        this.dab(at, at);
        this.say("Brush down: arrows paint.");
      }
      this.stage.setCursor(at);
    }

    lift() {
      if (!this.pen) return;
      this.pen = false;
      this.commit();
    }

    // ------------------------------------------------------------------ what is seen

    redraw() {
      super.redraw();
      if (!this.finishTool) return;
      for (const [name, button] of Object.entries(this.modes))
        button.setAttribute("aria-pressed", String(this.mode === name));
      this.finishTool.hidden = !this.draft;
      this.finishTool.disabled = (this.draft?.length ?? 0) < 3;
      this.slider.value = this.size;
      this.slider.disabled = this.mode === "polygon";
      this.hint.textContent = this.hintText();
      this.paintOver();
    }

    hintText() {
      if (this.src && !this.stage.width) return "The image is being loaded.";
      if (this.label === null) return "There is no label yet.";
      if (this.draft) {
        return `${crowd.some(this.draft.length, "point")}. Enter or Finish fills the polygon, Esc gives it up.`;
      }
      if (this.mode === "brush") return "Paint over what the label names.";
      return this.mode === "eraser" ? "Erase what was painted too much." : "Click around what the label names.";
    }

    // The brush's ring, the polygon under way, and the keyboard's cross.
    paintOver() {
      const { svg, scale, cursor, width } = this.stage;
      if (!width) return;
      const parts = [];
      const twice = (shape, attributes) => {
        for (const [size, color] of [
          [4, "#000"],
          [2, "#fff"],
        ]) {
          parts.push(
            h(`svg:${shape}`, {
              ...attributes,
              fill: "none",
              stroke: color,
              "stroke-width": size,
              "vector-effect": "non-scaling-stroke",
            }),
          );
        }
      };
      const at = cursor ?? this.pointer;
      if (this.draft) {
        const points = at && !this.stroke ? [...this.draft, at] : this.draft;
        twice("polyline", { points: points.map((p) => `${p.x},${p.y}`).join(" ") });
        for (const p of this.draft)
          parts.push(
            h("svg:circle", {
              cx: p.x,
              cy: p.y,
              r: 5 / scale,
              fill: "#fff",
              stroke: "#000",
              "stroke-width": 1.5,
              "vector-effect": "non-scaling-stroke",
            }),
          );
      } else if (at && this.mode !== "polygon") twice("circle", { cx: at.x, cy: at.y, r: this.size / 2 });
      if (cursor) {
        const r = 12 / scale;
        twice("path", { d: `M${cursor.x - r} ${cursor.y}h${2 * r}M${cursor.x} ${cursor.y - r}v${2 * r}` });
      }
      svg.replaceChildren(...parts);
    }

    // ------------------------------------------------------------------ answer

    // Subclasses: what the layers with pixels say. layers: [{label, color}]
    answerOf() {
      return {};
    }

    get answer() {
      if (!this.mask) return undefined;
      const counts = this.mask.counts();
      const used = this.layers.filter((_, index) => counts[index + 1] > 0);
      const answer = {
        ...this.answerOf(used),
        labeledImage: { pngImageData: this.mask.png() },
        inputImageProperties: this.imageProperties,
      };
      if (this.hasInitialValue) answer.initialValueModified = this.steps !== 0 || this.restored === true;
      return answer;
    }

    restore(answer) {
      this.waiting = answer ?? null;
      this.restored = true;
      if (this.stage.width) this.imageLoaded();
    }

    reset() {
      this.restored = false;
      if (this.stage.width) this.imageLoaded();
      this.complain("");
    }

    get problem() {
      if (super.problem) return super.problem;
      return this.draft ? "Fill the polygon that you began, or give it up with Esc." : this.loading;
    }

    // The keyboard's brush is lifted before the answer is read.
    checkValidity() {
      this.lift();
      return super.checkValidity();
    }
  }

  crowd.MaskTool = MaskTool;
})(window.crowdElements);
