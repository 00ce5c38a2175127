"""A user's folder as a project: its Serverless Devs file, or what the folder itself tells.

Nothing here runs a program, reads the environment, opens credentials or writes a file.
"""

from emulator.project.model import Level, Notice, Project, ProjectError, ProjectFunction
from emulator.project.reading import load_project
from emulator.project.sketch import as_s_yaml

__all__ = [
    "Level",
    "Notice",
    "Project",
    "ProjectError",
    "ProjectFunction",
    "as_s_yaml",
    "load_project",
]
