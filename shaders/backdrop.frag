#version 330 core
// The desktop's wallpaper, laid over the picture.

uniform sampler2D wallpaper;  // of the output's size
uniform float opacity;
uniform float level;
out vec4 colour;

void main()
{
    colour = vec4(texelFetch(wallpaper, ivec2(gl_FragCoord.xy), 0).rgb * level, 1.0) * opacity;
}
