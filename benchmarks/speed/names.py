"""IBSI codes of the feature names of pyradiomics, which flash-radiomics shares."""

GLCM = {
    "Autocorrelation": "QWB0",
    "JointAverage": "60VM",
    "ClusterProminence": "AE86",
    "ClusterShade": "7NFM",
    "ClusterTendency": "DG8W",
    "Contrast": "ACUI",
    "Correlation": "NI2N",
    "DifferenceAverage": "TF7R",
    "DifferenceEntropy": "NTRS",
    "DifferenceVariance": "D3YU",
    "JointEnergy": "8ZQL",
    "JointEntropy": "TU9B",
    "Imc1": "R8DG",
    "Imc2": "JN9H",
    "Idm": "WF0Z",
    "Id": "IB1Z",
    "InverseVariance": "E8JP",
    "MaximumProbability": "GYBY",
    "SumAverage": "ZGXS",
    "SumEntropy": "P6QZ",
    "SumSquares": "UR99",
}
"""Without Idn and Idmn, which divide by the highest level and not by the number of levels."""

GLRLM = {
    "ShortRunEmphasis": "22OV",
    "LongRunEmphasis": "W4KF",
    "LowGrayLevelRunEmphasis": "V3SW",
    "HighGrayLevelRunEmphasis": "G3QZ",
    "ShortRunLowGrayLevelEmphasis": "HTZT",
    "ShortRunHighGrayLevelEmphasis": "GD3A",
    "LongRunLowGrayLevelEmphasis": "IVPO",
    "LongRunHighGrayLevelEmphasis": "3KUM",
    "GrayLevelNonUniformity": "R5YN",
    "GrayLevelNonUniformityNormalized": "OVBL",
    "RunLengthNonUniformity": "W92Y",
    "RunLengthNonUniformityNormalized": "IC23",
    "RunPercentage": "9ZK5",
    "GrayLevelVariance": "8CE5",
    "RunVariance": "SXLW",
    "RunEntropy": "HJ9O",
}

GLSZM = {
    "SmallAreaEmphasis": "P001",
    "LargeAreaEmphasis": "48P8",
    "LowGrayLevelZoneEmphasis": "XMSY",
    "HighGrayLevelZoneEmphasis": "5GN9",
    "SmallAreaLowGrayLevelEmphasis": "5RAI",
    "SmallAreaHighGrayLevelEmphasis": "HW1V",
    "LargeAreaLowGrayLevelEmphasis": "YH51",
    "LargeAreaHighGrayLevelEmphasis": "J17V",
    "GrayLevelNonUniformity": "JNSA",
    "GrayLevelNonUniformityNormalized": "Y1RO",
    "SizeZoneNonUniformity": "4JP3",
    "SizeZoneNonUniformityNormalized": "VB3A",
    "ZonePercentage": "P30P",
    "GrayLevelVariance": "BYLV",
    "ZoneVariance": "3NSA",
    "ZoneEntropy": "GU8N",
}

GLDM = {
    "SmallDependenceEmphasis": "SODN",
    "LargeDependenceEmphasis": "IMOQ",
    "LowGrayLevelEmphasis": "TL9H",
    "HighGrayLevelEmphasis": "OAE7",
    "SmallDependenceLowGrayLevelEmphasis": "EQ3F",
    "SmallDependenceHighGrayLevelEmphasis": "JA6D",
    "LargeDependenceLowGrayLevelEmphasis": "NBZI",
    "LargeDependenceHighGrayLevelEmphasis": "9QMG",
    "GrayLevelNonUniformity": "FP8K",
    "DependenceNonUniformity": "Z87G",
    "DependenceNonUniformityNormalized": "OKJI",
    "GrayLevelVariance": "1PFV",
    "DependenceVariance": "DNX2",
    "DependenceEntropy": "FCBV",
}

NGTDM = {
    "Coarseness": "QCDE",
    "Contrast": "65HE",
    "Busyness": "NQ30",
    "Complexity": "HDEZ",
    "Strength": "1X9X",
}

FIRST_ORDER = {
    "Mean": "Q4LE",
    "Variance": "ECT3",
    "Median": "Y12H",
    "Minimum": "1GSF",
    "10Percentile": "QG58",
    "90Percentile": "8DWT",
    "Maximum": "84IY",
    "InterquartileRange": "SALO",
    "Range": "2OJQ",
    "MeanAbsoluteDeviation": "4FUA",
    "RobustMeanAbsoluteDeviation": "1128",
    "Energy": "N8CA",
    "RootMeanSquared": "5ZWQ",
}
"""Without Skewness, whose code has two spellings, and Kurtosis, which is larger by 3 there."""

HARALICK = (
    "8ZQL",
    "ACUI",
    "NI2N",
    "UR99",
    "WF0Z",
    "ZGXS",
    "OEEB",
    "P6QZ",
    "TU9B",
    "",  # difference variance: mahotas takes the variance of the probabilities
    "NTRS",
    "R8DG",
    "JN9H",
)
"""The thirteen features of Haralick, in his order, as in mahotas and CellProfiler."""
