#version 330 core
// See overlay.vert.

uniform sampler2D atlas;  // coverage
noperspective in vec2 at;
flat in vec4 fore;
flat in vec4 back;
out vec4 colour;

void main()
{
    colour = mix(back, fore, texelFetch(atlas, ivec2(at), 0).r);
}
