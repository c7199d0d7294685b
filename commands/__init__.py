"""The commands of `autotrade`: one module a group, loaded by name when it is asked for."""
