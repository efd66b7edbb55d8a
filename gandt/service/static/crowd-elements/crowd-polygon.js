// <crowd-polygon>: closed outlines with labels on an image.
(function (crowd) {
  "use strict";

  class CrowdPolygon extends crowd.ShapeTool {
    static key = "polygons";
    static noun = "polygon";
    static minimum = 3;
    static closed = true;
  }

  crowd.define("crowd-polygon", CrowdPolygon);
})(window.crowdElements);
