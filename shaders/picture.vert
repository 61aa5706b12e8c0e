#version 330 core
// Places a picture in the output, and with more than one instance its mirrored copies beside it, to
// the one side and the other in turn. Here, and only here, pictures turn: row 0 is their top row,
// GL counts from below. What the fragments need is interpolated, which on software GL is a third
// cheaper than working it out from gl_FragCoord.

uniform vec2 screen;    // width and height of the output
uniform vec4 place;     // the picture: left, top (from the top), width, height, in pixels
uniform vec2 beside;    // (1, 0): copies to the left and right, (0, 1): above and below
uniform float rows;     // rows of the strip, without those that repeat the edge
uniform float begin;    // the column of the enlarged picture at which the strip begins
noperspective out vec2 at;  // column and row of the strip, its samples at whole numbers and a half

void main()
{
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    int away = (gl_InstanceID + 1) / 2;
    float copy = float(gl_InstanceID % 2 == 1 ? away : -away);
    vec2 pixel = place.xy + (corner + copy * beside) * place.zw;
    gl_Position = vec4(pixel / screen * vec2(2.0, -2.0) + vec2(-1.0, 1.0), 0.0, 1.0);
    vec2 turned = beside * float(away % 2);
    vec2 within = mix(corner, 1.0 - corner, turned);
    at = vec2(within.x * place.z - begin, within.y * rows + 2.0);
}
