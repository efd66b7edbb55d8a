// gandt's crowd-* elements: the one script that a worker template loads.
//
// It loads the files named below, in this order, from the folder it lies in. A server may as well send them in one
// piece: gandt.service.crowd_elements.bundle() reads this very list. Classic scripts rather than modules, so that they
// work from file://, in a sandboxed frame of an opaque origin, and in one piece.
(function () {
  "use strict";
  const FILES = [
    "lib/core.js",
    "lib/relaxed-json.js",
    "lib/theme.js",
    "lib/dom.js",
    "lib/colors.js",
    "lib/element.js",
    "lib/icons.js",
    "lib/answer.js",
    "lib/delivery.js",
    "lib/dialog.js",
    "lib/tab-list.js",
    "lib/text-field.js",
    "lib/choice.js",
    "lib/widget.js",
    "lib/classifier.js",
    "lib/image-classifier.js",
    "lib/stage.js",
    "lib/image-tool.js",
    "lib/geometry.js",
    "lib/shape-view.js",
    "lib/shape-tool.js",
    "lib/mask.js",
    "lib/mask-tool.js",
    "lib/text-view.js",
    "lib/generation.js",
    "crowd-form.js",
    "crowd-button.js",
    "crowd-input.js",
    "crowd-text-area.js",
    "crowd-checkbox.js",
    "crowd-radio-button.js",
    "crowd-radio-group.js",
    "crowd-toggle-button.js",
    "crowd-slider.js",
    "crowd-instructions.js",
    "crowd-card.js",
    "crowd-modal.js",
    "crowd-alert.js",
    "crowd-badge.js",
    "crowd-icon-button.js",
    "crowd-fab.js",
    "crowd-toast.js",
    "crowd-tabs.js",
    "crowd-tab.js",
    "crowd-classifier.js",
    "crowd-classifier-multi-select.js",
    "crowd-image-classifier.js",
    "crowd-image-classifier-multi-select.js",
    "crowd-bounding-box.js",
    "crowd-polygon.js",
    "crowd-polyline.js",
    "crowd-line.js",
    "crowd-keypoint.js",
    "crowd-semantic-segmentation.js",
    "crowd-instance-segmentation.js",
    "crowd-entity-annotation.js",
    "crowd-text-ranking.js",
    "crowd-question-answer-generation.js",
    "lib/ready.js",
  ];
  if (window.crowdElements) return; // the template loads the script twice
  const self = document.currentScript;
  for (const file of FILES) {
    const script = document.createElement("script");
    script.src = new URL(file, self.src).href;
    script.async = false; // in order
    if (self.nonce) script.nonce = self.nonce;
    Object.assign(script.dataset, self.dataset);
    document.head.append(script);
  }
})();
