"""What can be drawn over the picture: the music video's desktop, its terminal and its GPU monitor.

state       which overlay is on, where its panes are, what moves: pure, part of the show's state
stream      what the terminal types and prints, from programs that are data
tensor      numbers as torch prints them
monitor     the GPU monitor's text, from what `live.gpus` samples
screen      a grid of characters that scrolls: both panes are one
theme       colours and fonts, from a small file
atlas       every glyph in one texture, at the output's scale
desktop     wallpaper, bar, dock, the frames of windows
quads       all of it on the GPU: one kind of instance, one draw call a pane
director    the whole, as the stage sees it
"""
