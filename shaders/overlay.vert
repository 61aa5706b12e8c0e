#version 330 core
// One quad of the overlay (live/overlay/quads.py): a piece of the atlas in two colours, as it lies
// there, mirrored, or drawn out of one column, row or texel. Characters, filled areas, round corners
// and shadows are all of that kind, so that the fragments have next to nothing to do.
//
// A screen of characters scrolls by moving where its ring of lines begins, so that no line is
// written again because others came.

uniform vec2 screen;     // width and height of the output, pixels
uniform vec2 origin;     // of the pane, from the output's top left
uniform vec2 pivot;      // what zooming leaves where it is, from the pane's top left
uniform vec2 zoom;
uniform vec3 scroll;     // top of the cells; how far they are scrolled; the height at which they wrap
uniform float opacity;   // of the pane
uniform float level;     // the master: what it darkens, it darkens over the picture too
in ivec4 place;          // left, top, width, height, from the pane's top left, pixels
in uvec2 texel;          // of the atlas, top left
in ivec4 kind;           // whether it scrolls; how the atlas runs along x and y: 1, -1, or 0, not
in vec4 ink;             // where the atlas is covered
in vec4 ground;          // where it is not
noperspective out vec2 at;
flat out vec4 fore;
flat out vec4 back;

void main()
{
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    vec2 size = vec2(place.zw);
    vec2 pixel = vec2(place.xy);
    if (kind.x == 1) {
        pixel.y -= scroll.y;
        pixel.y += pixel.y < scroll.x ? scroll.z : 0.0;
    }
    pixel = origin + pivot + (pixel + corner * size - pivot) * zoom;
    gl_Position = vec4(pixel / screen * vec2(2.0, -2.0) + vec2(-1.0, 1.0), 0.0, 1.0);
    vec2 run = vec2(kind.yz);
    vec2 along = mix(corner, 1.0 - corner, lessThan(run, vec2(0.0))) * size;
    at = vec2(texel) + mix(vec2(0.5), along, abs(run));
    // Premultiplied, of sRGB-encoded values as the pictures are.
    fore = vec4(ink.rgb * ink.a * level, ink.a) * opacity;
    back = vec4(ground.rgb * ground.a * level, ground.a) * opacity;
}
