"""How parameters are trained: gradients, Adam, the loop. Knows neither BERT nor adapters."""
