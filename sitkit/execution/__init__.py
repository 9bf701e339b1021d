"""How a plan is carried out: the walk, what still holds, where stages run, what happens, and what it would take."""
