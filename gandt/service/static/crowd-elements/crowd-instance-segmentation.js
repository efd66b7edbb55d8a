// <crowd-instance-segmentation>: every single object of a label gets a colour of its own.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdInstanceSegmentation extends crowd.MaskTool {
    makeMoreTools() {
      super.makeMoreTools();
      this.addTool = this.tool("add", "Add instance", () => this.addInstance());
      this.addTool.append("Add instance");
    }

    help() {
      return [
        ["A", "add an instance of the chosen label"],
        ["[ and ]", "choose the previous or next instance"],
        ...super.help(),
      ];
    }

    startLayers(initial) {
      for (const { color, label } of initial?.instances ?? []) this.addInstance(String(label), crowd.hex(color), true);
      this.layer = 0;
    }

    addInstance(label = this.label, color = null, quietly = false) {
      if (label === null || !this.mask) return 0;
      const taken = new Set(this.layers.map((layer) => layer.color));
      let [index, free] = [this.layers.length, color];
      while (!free || taken.has(free)) free = crowd.colorOf(index++);
      this.layer = this.addLayer(label, free);
      if (!quietly) {
        this.say(`${this.nameOf(this.layer)} added.`);
        this.redraw();
      }
      return this.layer;
    }

    // "Cat 2": the second cat.
    nameOf(number) {
      const { label } = this.layers[number - 1];
      return `${label} ${this.layers.slice(0, number).filter((layer) => layer.label === label && !layer.gone).length}`;
    }

    // A label is chosen: its latest instance is painted with, or a new one with the first stroke.
    choose(label) {
      this.layer = this.layers.findLastIndex((layer) => layer.label === label && !layer.gone) + 1;
      super.choose(label);
    }

    pick(number) {
      this.lift();
      super.choose(this.layers[number - 1].label);
      this.layer = number;
      this.say(`${this.nameOf(number)} chosen.`);
      this.redraw();
    }

    ensureLayer() {
      const layer = this.layers[this.layer - 1];
      return layer && !layer.gone && layer.label === this.label ? this.layer : this.addInstance();
    }

    remove(number) {
      const layer = this.layers[number - 1];
      const name = this.nameOf(number);
      const { mask } = this;
      mask.begin();
      const rows = Array.from({ length: mask.height }, (_, y) => [y, 0, mask.width]);
      mask.fill(rows, 0, (cell) => cell === number);
      const tiles = mask.end();
      const set = (gone) => () => {
        layer.gone = gone;
        if (tiles) mask.swap(tiles);
      };
      layer.gone = true;
      if (this.layer === number) this.layer = 0;
      this.did(set(false), set(true));
      this.say(`${name} deleted.`);
    }

    press(event, onStage) {
      const { key } = event;
      if (key.toLowerCase() === "a") {
        this.addInstance();
        return true;
      }
      if (key === "[" || key === "]") {
        const numbers = this.layers.map((_, index) => index + 1).filter((number) => !this.layers[number - 1].gone);
        if (!numbers.length) return false;
        const at = numbers.indexOf(this.layer);
        this.pick(
          numbers[
            (at < 0 && key === "[" ? numbers.length - 1 : at + (key === "]" ? 1 : -1) + numbers.length) % numbers.length
          ],
        );
        return true;
      }
      return super.press(event, onStage);
    }

    redraw() {
      super.redraw();
      if (!this.list || !this.addTool) return;
      this.addTool.disabled = this.label === null || !this.mask;
      const items = this.layers.flatMap((layer, index) => {
        if (layer.gone) return [];
        const number = index + 1;
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = layer.color;
        return [
          h(
            "li",
            {},
            h(
              "button",
              {
                type: "button",
                class: "pick",
                "aria-pressed": String(number === this.layer),
                onclick: () => this.pick(number),
              },
              swatch,
              this.nameOf(number),
            ),
            h(
              "button",
              { type: "button", "aria-label": `Delete ${this.nameOf(number)}`, onclick: () => this.remove(number) },
              "×",
            ),
          ),
        ];
      });
      const key = items.map((item) => item.textContent).join() + this.layer;
      if (key === this.listed) return; // painting redraws often; the list keeps the focus
      this.listed = key;
      this.list.replaceChildren(h("h3", {}, crowd.some(items.length, "instance")), h("ul", {}, ...items));
    }

    answerOf(layers) {
      return { instances: layers.map(({ color, label }) => ({ color, label })) };
    }
  }

  crowd.define("crowd-instance-segmentation", CrowdInstanceSegmentation);
})(window.crowdElements);
