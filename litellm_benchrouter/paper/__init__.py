"""The paper and nothing else: equations 1-10 of Shnitzer et al. (2023), in numpy.

Read in this order: `benchmark`, `neighbors`, `scores`, `smoother`, `mixing`. Imports no other
package of this project.
"""
