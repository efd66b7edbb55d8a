// The image that annotation tools draw on: fits it to the page, zooms and moves it, turns pointers and keys into
// points in the image's own pixels.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  const DEEPEST = 32;

  crowd.stageSheet = crowd.sheet(`
    .stage { position: relative; min-width: 0; }
    .view { overflow: auto; max-width: 100%; background: var(--crowd-raised); outline-offset: 2px; }
    .sheet {
      position: relative; overflow: hidden; touch-action: none; cursor: crosshair; user-select: none;
      -webkit-user-select: none;
    }
    .sheet.moving { cursor: grab; }
    .sheet.over { cursor: move; }
    .sheet.close { image-rendering: pixelated; }
    .sheet > * { position: absolute; inset: 0; width: 100%; height: 100%; display: block; pointer-events: none; }
    .upper-canvas { pointer-events: auto; }
    .mask { opacity: 0.6; image-rendering: pixelated; }
  `);

  // tool: {down, move, up, cancel, hover, cursorMoved, redraw, reach(event)}; all points are {x, y} in image pixels.
  class Stage {
    constructor(tool, label) {
      this.tool = tool;
      this.width = 0;
      this.height = 0;
      this.zoom = 1;
      this.fit = 1;
      this.panning = false; // by the toolbar's hand
      this.cursor = null; // where the keyboard is
      this.hovering = null; // the last event of a mouse that is over the image
      this.fingers = new Map();
      this.image = h("img", { alt: "", draggable: "false" });
      this.svg = h("svg:svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
      this.upper = h("canvas", { class: "upper-canvas" });
      this.sheet = h("div", { class: "sheet" }, this.image, this.svg, this.upper);
      this.view = h("div", { class: "view", tabindex: 0, role: "application", "aria-label": label }, this.sheet);
      this.element = h("div", { class: "stage" }, this.view);
      this.listen();
      new ResizeObserver(() => this.layout()).observe(this.element);
    }

    get scale() {
      return this.fit * this.zoom;
    }

    listen() {
      const { upper } = this;
      upper.addEventListener("pointerdown", (event) => this.down(event));
      upper.addEventListener("pointermove", (event) => this.move(event));
      upper.addEventListener("pointerup", (event) => this.up(event));
      upper.addEventListener("pointercancel", (event) => this.up(event, true));
      upper.addEventListener("pointerleave", () => (this.hovering = null));
      upper.addEventListener("contextmenu", (event) => event.preventDefault());
      this.view.addEventListener(
        "wheel",
        (event) => {
          if (!event.ctrlKey && !event.metaKey) return;
          event.preventDefault();
          this.zoomBy(event.deltaY < 0 ? 1.25 : 0.8, event);
        },
        { passive: false },
      );
    }

    // The image is there: its size is known.
    loaded() {
      this.width = this.image.naturalWidth || 300; // an SVG may have no size of its own
      this.height = this.image.naturalHeight || 150;
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      this.zoom = 1;
      this.layout();
    }

    layout() {
      const room = this.element.clientWidth;
      if (!this.width || !room) return;
      // Beside its labels it leaves room for header, tools and Submit; on a phone for the labels above it.
      const { innerHeight } = window;
      const share = room < 500 ? 0.5 : Math.min(0.75, Math.max(0.5, 1 - 250 / innerHeight));
      const tall = Math.max(160, innerHeight * share);
      const most = Math.max(8, 200 / Math.min(this.width, this.height)); // of an icon, enough to draw in
      this.fit = Math.min(room / this.width, tall / this.height, most);
      this.view.style.width = `${Math.min(room, this.width * this.scale)}px`;
      this.view.style.height = `${Math.min(tall, this.height * this.scale)}px`;
      this.sheet.style.width = `${this.width * this.scale}px`;
      this.sheet.style.height = `${this.height * this.scale}px`;
      this.sheet.classList.toggle("close", this.scale >= 3);
      this.view.style.overflow = this.zoom > 1 ? "auto" : "hidden";
      this.tool.redraw();
    }

    // Zooms around a pointer, else around the keyboard's cross or what is selected, else around the middle.
    zoomBy(factor, at = this.hovering) {
      const before = this.scale;
      const view = this.view.getBoundingClientRect();
      const middle = this.cursor ?? this.tool.middle?.() ?? this.center();
      let [x, y] = [middle.x * before - this.view.scrollLeft, middle.y * before - this.view.scrollTop];
      if (at) [x, y] = [at.clientX - view.left, at.clientY - view.top];
      const [left, top] = [(this.view.scrollLeft + x) / before, (this.view.scrollTop + y) / before];
      this.zoom = Math.min(DEEPEST, Math.max(1, this.zoom * factor));
      this.layout();
      if (!at) [x, y] = [this.view.clientWidth / 2, this.view.clientHeight / 2];
      this.view.scrollLeft = left * this.scale - x;
      this.view.scrollTop = top * this.scale - y;
    }

    point(event) {
      const box = this.sheet.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * this.width;
      const y = ((event.clientY - box.top) / box.height) * this.height;
      return this.clamp({ x, y });
    }

    clamp({ x, y }) {
      return { x: Math.min(this.width, Math.max(0, x)), y: Math.min(this.height, Math.max(0, y)) };
    }

    down(event) {
      if (!this.width || (event.pointerType === "mouse" && event.button > 1)) return;
      event.preventDefault();
      this.view.focus({ preventScroll: true });
      try {
        this.upper.setPointerCapture(event.pointerId);
      } catch {
        // the pointer is gone already
      }
      this.setCursor(null);
      this.fingers.set(event.pointerId, event);
      if (this.fingers.size === 2) {
        this.tool.cancel(); // what the first finger began was the start of a pinch
        this.pinch = this.spread();
        this.dragging = null;
      } else if (this.fingers.size === 1) {
        if (this.panning || event.button === 1) this.dragging = event;
        else this.tool.down(this.point(event), event);
      }
    }

    move(event) {
      this.hovering = event.pointerType === "touch" ? null : event;
      if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, event);
      if (this.fingers.size >= 2 && this.pinch) {
        const now = this.spread();
        this.view.scrollLeft -= now.clientX - this.pinch.clientX;
        this.view.scrollTop -= now.clientY - this.pinch.clientY;
        if (this.pinch.apart > 0) this.zoomBy(now.apart / this.pinch.apart, now);
        this.pinch = now;
      } else if (this.dragging) {
        this.view.scrollLeft -= event.clientX - this.dragging.clientX;
        this.view.scrollTop -= event.clientY - this.dragging.clientY;
        this.dragging = event;
      } else if (!this.pinch) {
        const point = this.point(event);
        if (this.fingers.size) this.tool.move(point, event);
        else this.tool.hover(point, event);
      }
    }

    up(event, cancelled = false) {
      if (!this.fingers.delete(event.pointerId)) return;
      if (this.pinch || this.dragging) {
        if (this.fingers.size === 0) this.pinch = this.dragging = null;
      } else if (cancelled) this.tool.cancel();
      else this.tool.up(this.point(event), event);
    }

    spread() {
      const [a, b] = [...this.fingers.values()];
      return {
        apart: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY),
        clientX: (a.clientX + b.clientX) / 2,
        clientY: (a.clientY + b.clientY) / 2,
      };
    }

    // How far from a point, in image pixels, a press still counts as on it.
    reach(event, mouse, finger) {
      return (event.pointerType === "touch" ? finger : mouse) / this.scale;
    }

    setCursor(point) {
      this.cursor = point;
      this.tool.redraw();
      if (!point) return;
      const [x, y, margin] = [point.x * this.scale, point.y * this.scale, 24];
      const { view } = this;
      if (x < view.scrollLeft + margin) view.scrollLeft = x - margin;
      else if (x > view.scrollLeft + view.clientWidth - margin) view.scrollLeft = x - view.clientWidth + margin;
      if (y < view.scrollTop + margin) view.scrollTop = y - margin;
      else if (y > view.scrollTop + view.clientHeight - margin) view.scrollTop = y - view.clientHeight + margin;
    }

    // The step of an arrow key: about ten pixels of the screen, or with Shift one pixel of the image.
    step(event) {
      const size = event.shiftKey ? 1 : Math.max(1, Math.round(10 / this.scale));
      const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [
        0, 0,
      ];
      return x || y ? { x: x * size, y: y * size } : null;
    }

    center() {
      const { view, scale } = this;
      return {
        x: Math.round((view.scrollLeft + view.clientWidth / 2) / scale),
        y: Math.round((view.scrollTop + view.clientHeight / 2) / scale),
      };
    }
  }

  crowd.Stage = Stage;
})(window.crowdElements);
