"""scikit-learn's estimators over one frozen base: fit on texts and labels, predict, save.

They need scikit-learn: `pip install 'minibert-adapters[sklearn]'`. The base is loaded once in a
process, whatever the number of estimators and clones; between processes its pages are shared, as it
is mapped from its file. A pickled estimator holds its task, not the base.
"""
