// <crowd-classifier>: one category for what stands in its <classification-target>.
(function (crowd) {
  "use strict";

  crowd.define("crowd-classifier", class CrowdClassifier extends crowd.TargetClassifier {});
})(window.crowdElements);
