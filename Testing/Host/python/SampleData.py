"""Slicer's Sample Data module, as far as a module registers its own samples with it and loads them by name."""

import slicer

__all__ = ["SampleDataLogic", "SampleDataSource"]


class SampleDataSource:
    """One sample; `customDownloader(source)` makes its nodes and returns a list of them."""

    def __init__(self, sampleName=None, customDownloader=None, **about):
        self.sampleName = sampleName
        self.customDownloader = customDownloader
        self.about = about


class SampleDataLogic:
    """Keeps the sources in `slicer.modules.sampleDataSources`, as Slicer does."""

    @staticmethod
    def registerCustomSampleDataSource(category="Custom", sampleName=None, customDownloader=None, **about):
        sources = SampleDataLogic._sources().setdefault(category, [])
        sources.append(SampleDataSource(sampleName, customDownloader, category=category, **about))

    @staticmethod
    def _sources():
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        return slicer.modules.sampleDataSources

    def sourceForSampleName(self, sampleName):
        every = (source for sources in self._sources().values() for source in sources)
        return next((source for source in every if source.sampleName == sampleName), None)

    def downloadFromSource(self, source):
        return source.customDownloader(source)

    def downloadSamples(self, sampleName):
        return self.downloadFromSource(self.sourceForSampleName(sampleName))

    def downloadSample(self, sampleName):
        return self.downloadSamples(sampleName)[0]
