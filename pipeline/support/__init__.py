"""What stages share. Stages never import each other; they meet in the files that dvc.yaml names."""
