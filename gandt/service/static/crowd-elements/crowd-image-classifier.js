// <crowd-image-classifier>: one category for an image.
(function (crowd) {
  "use strict";

  crowd.define("crowd-image-classifier", class CrowdImageClassifier extends crowd.ImageClassifier {});
})(window.crowdElements);
