"""What can be drawn over the picture: the music video's desktop, its terminal and its GPU monitor.

overlay       the whole, as the stage sees it
state         which overlay is on, where its panes are, what moves: pure, part of the show's state
settings      [overlay] of a set list
panes         windows as they are drawn; of a screen only the rows that changed
screen, text  a grid of characters that scrolls, and what is written on it
stream        what the terminal types and prints, from programs that are data
programs      those programs, and templates that can do nothing else
tensor        numbers as torch prints them
monitor       the GPU monitor's lines, of what `live.gpus` samples: table, frames, figures, graphs
desktop       bar, dock, the frames of windows, by drawing; background has them on the GPU
foundry       glyphs of another size, on a thread
quads         all of it on the GPU: one kind of instance, cut from one atlas
atlas         every glyph, from typefaces and what is drawn by arithmetic; beside them shapes
theme         colours and fonts, from a small file
"""
