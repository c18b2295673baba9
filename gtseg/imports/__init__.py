"""Labels that did not come from Ground Truth -> images, masks and an output manifest in its own format.

Every source (a folder of masks, slippy-map tiles, GeoTIFFs with polygons, COCO) is cut into tasks; a task
writes its images and masks and returns one record each; `journal.run_tasks` runs the tasks on all cores,
remembers what is done, and writes `output.manifest` last. Leaves know `errors` and `core` only.
"""
