"""medsr as a worker of an Orthanc server: it watches for series, reconstructs them, and sends the results back.

It listens on no port. See README.md beside this file.
"""
