from ._compare import compare as compare
from ._comparison import Comparison as Comparison, load as load
from ._protocols import Protocol as Protocol, protocol as protocol, protocols as protocols
from ._splits import CompareError as CompareError
