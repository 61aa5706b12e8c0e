// Cubic convolution with a = -0.5 (Keys 1981, "Cubic convolution interpolation for digital image
// processing"), the kernel of Pillow's BICUBIC.

// The weights of the samples at -1, 0, 1 and 2 for a point `t` in [0, 1) past sample 0.
vec4 cubic_weights(float t)
{
    float t2 = t * t;
    float half_t3 = 0.5 * t2 * t;
    vec4 weights;
    weights.x = t2 - half_t3 - 0.5 * t;
    weights.y = 1.0 - 2.5 * t2 + 3.0 * half_t3;
    weights.w = half_t3 - 0.5 * t2;
    weights.z = 1.0 - weights.x - weights.y - weights.w;
    return weights;
}

// The kernel itself at distance `d` >= 0 from its centre; 0 from 2 on.
float cubic(float d)
{
    float inner = (1.5 * d - 2.5) * d * d + 1.0;
    float outer = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
    return d < 1.0 ? inner : (d < 2.0 ? outer : 0.0);
}
