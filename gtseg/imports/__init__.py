"""Import of labels made with other tools, as images, masks and an output manifest in Ground Truth's format.

Every source (folders of masks, slippy-map tiles, GeoTIFFs with polygons, annotation files) is divided into tasks. A
task writes images and masks and returns a record of each. `journal.run_tasks` runs the tasks on all cores, records
finished ones, and writes `output.manifest` last. `writers` exports masks to the formats of other tools.
"""
