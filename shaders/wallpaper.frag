#version 330 core
// The desktop's wallpaper, drawn once for a size: light from one corner, and a flower's outlines,
// petal over petal, so large that only a part of it is seen.

uniform vec2 screen;       // pixels
uniform vec3 colours[4];   // from the far corner to the light
out vec4 colour;

const vec2 HEART = vec2(0.79, 0.36);  // of the flower, in parts of the height from the right edge
const float PETALS = 8.0, RINGS = 5.0;

vec3 gradient(float t)
{
    float s = clamp(t, 0.0, 1.0) * 3.0;
    vec3 low = mix(colours[0], colours[1], smoothstep(0.0, 1.0, s));
    vec3 high = mix(low, colours[2], smoothstep(1.0, 2.0, s));
    return mix(high, colours[3], smoothstep(2.0, 3.0, s));
}

// Not seen as itself, but without it wide gradients show their steps of 1/255.
float noise(vec2 p)
{
    return fract(52.9829189 * fract(dot(p, vec2(0.06711056, 0.00583715)))) - 0.5;
}

void main()
{
    vec2 p = gl_FragCoord.xy / screen.y;
    vec2 end = vec2(screen.x / screen.y, 1.0);
    float light = dot(p, end) / dot(end, end);
    vec2 q = p - vec2(end.x - HEART.x, HEART.y);
    float shade = 0.0;
    for (float ring = 0.0; ring < RINGS; ring++) {
        float angle = atan(q.y, q.x) * PETALS + ring * 3.14159265;
        float reach = (0.22 + 0.21 * ring) * (0.78 + 0.22 * sqrt(abs(cos(0.5 * angle))));
        float inside = 1.0 - smoothstep(0.0, 1.5 / screen.y, length(q) - reach);
        float depth = length(q) / reach;
        shade += inside * (0.018 + 0.05 * depth * depth * depth);
    }
    vec3 result = gradient(0.78 * light * light + 0.62 * shade + 0.06);
    colour = vec4(result + noise(gl_FragCoord.xy) / 255.0, 1.0);
}
