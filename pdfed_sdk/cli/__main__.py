"""``python -m pdfed_sdk.cli`` is ``pdfed``."""

from pdfed_sdk.cli import main

main()
