#version 330 core
// The second pass: a strip (widen.frag) enlarged along y and put in its place. Here, and only here,
// pictures turn: a strip's row 0 is the picture's top row, gl_FragCoord counts from the bottom.

uniform sampler2D strip;
uniform vec4 place;    // the picture: left, top (counted from below, as gl_FragCoord), width, height
uniform float ratio;   // strip rows per pixel, <= 1
uniform int last;      // the strip's last row
uniform int begin;     // the column of the enlarged picture at which the strip begins
uniform float weight;  // what the picture is multiplied with, 0..1
out vec4 colour;
#include "cubic.glsl"

void main()
{
    vec2 size = place.zw;
    vec2 at = vec2(gl_FragCoord.x - place.x, place.y - gl_FragCoord.y);
    // Beyond its edges the picture goes on mirrored: a triangle wave, folded as far as seven more
    // pictures to either side. With contain and cover `at` lies in the picture and stays as it is.
    at = size - abs(abs(abs(abs(at) - 4.0 * size) - 2.0 * size) - size);
    float y = at.y * ratio - 0.5;
    float below = floor(y);
    vec4 weights = cubic_weights(y - below);
    ivec4 rows = clamp(int(below) + ivec4(-1, 0, 1, 2), 0, last);
    int x = int(at.x) - begin;
    vec3 sum = weights.x * texelFetch(strip, ivec2(x, rows.x), 0).rgb
             + weights.y * texelFetch(strip, ivec2(x, rows.y), 0).rgb
             + weights.z * texelFetch(strip, ivec2(x, rows.z), 0).rgb
             + weights.w * texelFetch(strip, ivec2(x, rows.w), 0).rgb;
    // The kernel overshoots at hard edges: what is beyond white must not shine through a fade.
    colour = vec4(clamp(sum, 0.0, 1.0) * weight, 1.0);
}
