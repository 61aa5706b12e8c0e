// Cubic convolution with a = -0.5 (Keys 1981, "Cubic convolution interpolation for digital image
// processing"), the kernel of Pillow's BICUBIC.

// The weights of the samples at -1, 0, 1 and 2 for a point `t` in [0, 1) past sample 0.
vec4 cubic_weights(float t)
{
    vec4 d = vec4(1.0 + t, t, 1.0 - t, 2.0 - t);
    vec2 inner = (1.5 * d.yz - 2.5) * d.yz * d.yz + 1.0;
    vec2 outer = ((-0.5 * d.xw + 2.5) * d.xw - 4.0) * d.xw + 2.0;
    return vec4(outer.x, inner, outer.y);
}

// The kernel itself at distance `d` >= 0 from its centre; 0 from 2 on.
float cubic(float d)
{
    float inner = (1.5 * d - 2.5) * d * d + 1.0;
    float outer = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
    return d < 1.0 ? inner : (d < 2.0 ? outer : 0.0);
}
