// <crowd-image-classifier-multi-select>: one or more categories, or its exclusion-category, for an image.
(function (crowd) {
  "use strict";

  class CrowdImageClassifierMultiSelect extends crowd.ImageClassifier {
    static several = true;
  }

  crowd.define("crowd-image-classifier-multi-select", CrowdImageClassifierMultiSelect);
})(window.crowdElements);
