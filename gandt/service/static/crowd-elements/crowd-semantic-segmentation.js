// <crowd-semantic-segmentation>: every pixel of an image may get a label.
(function (crowd) {
  "use strict";

  class CrowdSemanticSegmentation extends crowd.MaskTool {
    startLayers(initial) {
      const mappings = initial?.labelMappings ?? {};
      for (const label of this.labelList()) this.layerOf(label, crowd.hex(mappings[label]?.color));
      for (const [label, value] of Object.entries(mappings)) this.layerOf(label, crowd.hex(value?.color));
    }

    // The number of the label's layer; made when it is new.
    layerOf(label, color = null) {
      const at = this.layers.findIndex((layer) => layer.label === label);
      if (at >= 0) return at + 1;
      const taken = new Set(this.layers.map((layer) => layer.color));
      let [index, free] = [Math.max(0, this.labelList().indexOf(label)), color];
      while (!free || taken.has(free)) free = crowd.colorOf(index++);
      return this.addLayer(label, free);
    }

    colorFor(label) {
      return this.layers.find((layer) => layer.label === label)?.color ?? super.colorFor(label);
    }

    ensureLayer() {
      this.layer = this.layerOf(this.label);
      return this.layer;
    }

    listLabels() {
      if (this.mask) for (const label of this.labelList()) this.layerOf(label);
      super.listLabels();
    }

    answerOf(layers) {
      return { labelMappings: Object.fromEntries(layers.map(({ label, color }) => [label, { color }])) };
    }
  }

  crowd.define("crowd-semantic-segmentation", CrowdSemanticSegmentation);
})(window.crowdElements);
