#version 330 core
// The second pass: the strip (widen.frag) enlarged along y, in the place the vertices give it.

uniform sampler2D strip;
uniform float weight;  // what the picture is multiplied with, 0..1
uniform float covers;  // how much of what is there it takes the place of, 0..1
noperspective in vec2 at;
out vec4 colour;
#include "cubic.glsl"

void main()
{
    float y = at.y - 0.5;
    float below = floor(y);
    vec4 weights = cubic_weights(y - below);
    ivec2 here = ivec2(int(at.x), int(below));
    vec3 sum = weights.x * texelFetch(strip, here - ivec2(0, 1), 0).rgb
             + weights.y * texelFetch(strip, here, 0).rgb
             + weights.z * texelFetch(strip, here + ivec2(0, 1), 0).rgb
             + weights.w * texelFetch(strip, here + ivec2(0, 2), 0).rgb;
    // The kernel overshoots at hard edges: what is beyond white must not shine through a fade.
    colour = vec4(clamp(sum, 0.0, 1.0) * weight, covers);
}
