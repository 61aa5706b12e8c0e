#version 330 core
// Enlarges a picture along x only: the first of the two passes. Its result, the strip, has the
// columns of the output and the rows of the picture, the first and the last of them three times:
// the second pass then reads beyond the edge without asking where it is.

uniform sampler2D picture;
uniform float ratio;      // picture pixels per column, <= 1
uniform int begin;        // the column of the enlarged picture at which the strip begins
uniform ivec2 last;       // the picture's last column and row
out vec4 colour;
#include "cubic.glsl"

void main()
{
    float x = (gl_FragCoord.x + float(begin)) * ratio - 0.5;
    float below = floor(x);
    vec4 weights = cubic_weights(x - below);
    ivec4 columns = clamp(int(below) + ivec4(-1, 0, 1, 2), 0, last.x);
    int y = clamp(int(gl_FragCoord.y) - 2, 0, last.y);
    colour = vec4(weights.x * texelFetch(picture, ivec2(columns.x, y), 0).rgb
                + weights.y * texelFetch(picture, ivec2(columns.y, y), 0).rgb
                + weights.z * texelFetch(picture, ivec2(columns.z, y), 0).rgb
                + weights.w * texelFetch(picture, ivec2(columns.w, y), 0).rgb, 1.0);
}
