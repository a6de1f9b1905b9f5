"""Is the deployed model the model that was trained?"""
