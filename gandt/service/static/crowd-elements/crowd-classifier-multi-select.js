// <crowd-classifier-multi-select>: one or more categories, or its exclusion-category, for its <classification-target>.
(function (crowd) {
  "use strict";

  class CrowdClassifierMultiSelect extends crowd.TargetClassifier {
    static several = true;
  }

  crowd.define("crowd-classifier-multi-select", CrowdClassifierMultiSelect);
})(window.crowdElements);
