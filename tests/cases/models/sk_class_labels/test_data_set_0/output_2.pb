2setosa2
versicolor2	virginicaBclass_labels