"""Which loss for these data, and why."""

from onepass.guide.recommend.ranking import recommend as recommend
from onepass.guide.recommend.recommendation import Recommendation as Recommendation
from onepass.guide.recommend.recommendation import table as table
