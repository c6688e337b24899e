"""What the MedSR module does, free of Qt: environments, runs of medsr, and volumes of the scene.

Python 3.9 and later, and nothing but what Slicer ships: this runs in Slicer's own Python. medsr itself runs in
another.
"""
