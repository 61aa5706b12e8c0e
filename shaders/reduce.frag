#version 330 core
// Makes a picture smaller along one axis. The kernel is as wide as `ratio` times itself, so nothing
// aliases; beyond the picture's edge there are no samples, and the others share the weight.

uniform sampler2D picture;
uniform ivec2 axis;   // (1, 0) or (0, 1)
uniform float ratio;  // picture pixels per pixel of the result, >= 1
uniform int last;     // the picture's last index along the axis
out vec4 colour;
#include "cubic.glsl"

void main()
{
    ivec2 here = ivec2(gl_FragCoord.xy);
    float centre = (float(here.x * axis.x + here.y * axis.y) + 0.5) * ratio - 0.5;
    ivec2 across = here * (1 - axis);
    int begin = max(int(ceil(centre - 2.0 * ratio)), 0);
    int end = min(int(floor(centre + 2.0 * ratio)), last);
    vec4 sum = vec4(0.0);
    for (int i = begin; i <= end; i++) {
        float weight = cubic(abs(float(i) - centre) / ratio);
        sum += weight * vec4(texelFetch(picture, across + axis * i, 0).rgb, 1.0);
    }
    colour = vec4(sum.rgb / sum.a, 1.0);
}
